"""A whole file through a desk that is not there."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway.client.encoding import ModelInputs
from slipway.client.prediction import Prediction
from slipway.clock import ManualClock
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.score.desk import JobFailed, ResultGone
from slipway.score.progress_file import ProgressFile, progress_path
from slipway.score.run import Scoring, Task, added_columns, plan_of
from slipway.score.table_file import columns_of, is_csv, read_blocks
from slipway.signature import TensorSpec

INPUTS = ModelInputs(model="m", tensors=(TensorSpec("features", "FP32", (-1, 2)),), columns=("a", "b"))
FRAME = pd.DataFrame({"name": [f"n{n}" for n in range(25)], "b": np.arange(25) / 8, "a": np.arange(25)})


class Desk:
    """Answers with the sum of each row; fails on chosen submissions."""

    def __init__(self) -> None:
        self.submissions: list[str] = []
        self.failures: list[Exception] = []
        self.most = 0
        self._under_way = 0

    async def score(self, request: Any, submission_id: str) -> Prediction:
        self.submissions.append(submission_id)
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(0)
        self._under_way -= 1
        if self.failures:
            raise self.failures.pop(0)
        rows = np.frombuffer(request.raw_input_contents[0], dtype="<f4").reshape(-1, 2)
        return Prediction(
            model="m",
            version="7",
            arm="champion",
            prediction_id=submission_id,
            feedback_token="",
            values=tuple(rows.sum(axis=1).tolist()),
        )


class Run:
    def __init__(self, folder: Path, suffix: str = ".csv", outstanding: int = 2) -> None:
        self.file, self.out = folder / f"in{suffix}", folder / f"out{suffix}"
        if suffix == ".parquet":
            FRAME.to_parquet(self.file, row_group_size=7)
        else:
            FRAME.to_csv(self.file, index=False)
        self.task = Task(
            file=self.file, out=self.out, inputs=INPUTS, prefix="prediction_", outstanding=outstanding
        )
        self.desk, self.clock = Desk(), ManualClock(1_790_000_000.0)

    async def __call__(self) -> int:
        plan = plan_of(self.task, chunk_rows=10, tell=lambda _: None)
        with ProgressFile(progress_path(self.out), plan) as progress:
            scoring = Scoring(self.task, plan, progress=progress, desk=self.desk, clock=self.clock)
            resumed = await scoring.send(lambda _: None)
            assert scoring.write(lambda _: None) == {"7": 25}
        return resumed


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
async def test_every_row_has_its_prediction_behind_it(tmp_path: Path, suffix: str) -> None:
    run = Run(tmp_path, suffix)
    assert await run() == 0
    found = pd.read_csv(run.out) if is_csv(run.out) else pd.read_parquet(run.out)
    pd.testing.assert_frame_equal(found[list(FRAME.columns)], FRAME)
    assert found["prediction_value"].tolist() == (FRAME["a"] + FRAME["b"]).tolist()
    assert list(found.columns[3:]) == [
        "prediction_value",
        "prediction_version",
        "prediction_id",
        "prediction_row",
    ]
    assert not progress_path(run.out).exists()
    assert run.desk.most <= 2


async def test_a_failure_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path, outstanding=1)
    run.desk.failures = [InvalidInput("feature 'a' in row 3 is NaN")]
    with pytest.raises(ExceptionGroup) as failure:
        await run()
    assert "rows 1 to 10: feature 'a' in row 4 is NaN" in str(failure.value.exceptions[0])
    assert not run.out.exists()
    await run()
    assert len(run.desk.submissions) == 4


async def test_a_submission_is_repeated_under_its_name_and_renewed_when_it_is_over(tmp_path: Path) -> None:
    run = Run(tmp_path, outstanding=1)
    run.clock._now_s = int(new_id().replace("-", "")[:12], 16) / 1000
    run.desk.failures = [JobFailed("job is EXPIRED")]
    with pytest.raises(ExceptionGroup):
        await run()
    run.desk.failures = [ResultGone("deleted")]
    await run()
    first, again, renewed = run.desk.submissions[:3]
    assert first == again != renewed


async def test_a_submission_of_yesterday_is_made_anew(tmp_path: Path) -> None:
    run = Run(tmp_path, outstanding=1)
    run.desk.failures = [InvalidInput("no")]
    with pytest.raises(ExceptionGroup):
        await run()
    run.clock._now_s = int(new_id().replace("-", "")[:12], 16) / 1000 + 21 * 3600
    await run()
    assert len(set(run.desk.submissions)) == 4


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "b.csv").write_text("a,b,a\n1,2,3\n")
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "d.csv").write_text("a,b\n1,2\n1,2,3\n")
    for name, why in (
        ("a.parquet", "cannot read"),
        ("a.csv.gz", "cannot read"),
        ("b.csv", "twice"),
        ("c.csv", "no"),
    ):
        with pytest.raises(InvalidInput, match=why):
            columns_of(tmp_path / name)
    with pytest.raises(InvalidInput, match="line 3"):
        list(read_blocks(tmp_path / "d.csv", 10))
    with pytest.raises(InvalidInput, match=r"none of \.csv"):
        is_csv(Path("table.xlsx"))
    (tmp_path / "e.csv").write_text("a,b\n")
    task = Task(file=tmp_path / "e.csv", out=tmp_path / "o.csv", inputs=INPUTS, prefix="p_", outstanding=1)
    with pytest.raises(InvalidInput, match="has no rows"):
        plan_of(task, chunk_rows=10, tell=lambda _: None)


def test_an_answer_of_another_size_is_refused() -> None:
    answer = {"labels": ["a"], "values": [], "probabilities": None, "version": "1", "prediction_id": "p"}
    with pytest.raises(InvalidInput, match="has not 2 rows"):
        added_columns(answer, rows=2, prefix="")
