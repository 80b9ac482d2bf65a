from pathlib import Path

import numpy as np
import pytest

from slipway.client.prediction import Prediction
from slipway.errors import Conflict
from slipway.score.progress_file import (
    Plan,
    ProgressFile,
    digest_of,
    planned_chunk_rows,
    progress_path,
)

PLAN = Plan(model="m", file="in.csv", sha256="0" * 64, rows=30, chunk_rows=10)


def prediction(label: str) -> Prediction:
    return Prediction(
        model="m",
        version="1",
        arm="champion",
        prediction_id=f"id of {label}",
        feedback_token="secret",
        labels=(label,),
        probabilities=np.array([[0.25, 0.75]], dtype=np.float32),
    )


def test_the_next_run_finds_what_the_last_one_wrote(tmp_path: Path) -> None:
    path = progress_path(tmp_path / "out.csv")
    assert planned_chunk_rows(path) is None
    with ProgressFile(path, PLAN) as progress:
        progress.submit(1, "s1")
        progress.submit(0, "s0")
        progress.finish(1, prediction("yes"))
    assert path.name == "out.csv.progress"
    assert b"secret" not in path.read_bytes()
    with ProgressFile(path, PLAN) as again:
        assert again.done == {1}
        assert [again.submission(n) for n in range(3)] == ["s0", "s1", ""]
        answer = again.answer(1)
        again.finish(0, prediction("no"))
        assert again.answer(0)["labels"] == ["no"]
        assert again.answer(1) == answer
    assert (answer["labels"], answer["probabilities"], answer["version"]) == (["yes"], [[0.25, 0.75]], "1")
    assert planned_chunk_rows(path) == 10
    again.delete()
    assert not path.exists()


@pytest.mark.parametrize("torn", [1, 5, 30])
def test_a_torn_line_is_cut_off(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "p"
    with ProgressFile(path, PLAN) as progress:
        progress.finish(0, prediction("a"))
        progress.finish(1, prediction("b"))
    path.write_bytes(path.read_bytes()[:-torn])
    with ProgressFile(path, PLAN) as again:
        assert again.done == {0}
        again.finish(1, prediction("c"))
    with ProgressFile(path, PLAN) as last:
        assert [last.answer(n)["labels"] for n in range(2)] == [["a"], ["c"]]


def test_a_header_that_was_torn_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b'{"model": "m", "fi')
    assert planned_chunk_rows(path) is None
    with ProgressFile(path, PLAN) as progress:
        progress.submit(0, "s")
    assert planned_chunk_rows(path) == 10


def test_the_progress_of_another_file_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "p"
    with ProgressFile(path, PLAN):
        pass
    other = Plan(model="m", file="in.csv", sha256="1" * 64, rows=31, chunk_rows=10)
    with pytest.raises(Conflict, match="sha256, rows differ"):
        ProgressFile(path, other)
    with ProgressFile(path, PLAN) as kept:
        assert kept.done == frozenset()


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of(tmp_path / "a").startswith("ba7816bf")
