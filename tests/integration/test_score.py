"""`slipway score` as a command, on a gateway and a jobs service of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionServed
from tests.gateway.live import FEATURES, ends, read_since, wait_for
from tests.jobs import live
from tests.jobs.live import Bench

pytestmark = pytest.mark.integration

ROWS = 203


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live.bench(tmp_path_factory.mktemp("score"), delay_s=0.1) as it:
        yield it


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    values = np.random.default_rng(1).random((ROWS, len(FEATURES))).astype(np.float32)
    customers = pd.DataFrame({"customer": [f"c-{n:04d}" for n in range(ROWS)]})
    return customers.join(pd.DataFrame(values, columns=list(FEATURES))[list(reversed(FEATURES))])


def command(bench: Bench, file: Path, out: Path, *options: str) -> list[str]:
    gateway = bench.gateway
    given = ("--key", gateway.key, "--target", gateway.target, *options)
    return [
        sys.executable,
        "-m",
        "slipway.cli.main",
        "score",
        gateway.model,
        str(file),
        "-o",
        str(out),
        *given,
    ]


def score(bench: Bench, file: Path, out: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        command(bench, file, out, "--json", *options),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def has_answers(progress: Path, least: int) -> bool:
    return progress.exists() and progress.read_text().count('"answer"') >= least


def direct(bench: Bench, frame: pd.DataFrame) -> list[str]:
    """The same rows by synchronous requests."""
    labels: list[str] = []
    for start in range(0, len(frame), 8):
        answer = bench.gateway.infer(frame[list(FEATURES)].to_numpy()[start : start + 8])
        raw, at = answer.raw_output_contents[0], 0
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 4], "little")
            labels.append(raw[at + 4 : at + 4 + size].decode())
            at += 4 + size
    return labels


def test_a_csv_file_keeps_its_text_and_gains_predictions(
    bench: Bench, frame: pd.DataFrame, tmp_path: Path
) -> None:
    file, out = tmp_path / "in.csv", tmp_path / "out.csv"
    text = frame.assign(customer=['007,"x"', *frame["customer"][1:]])
    text.to_csv(file, index=False)
    report = score(bench, file, out)
    assert (report["rows"], report["resumed_rows"], report["rows_by_version"]) == (ROWS, 0, {"1": ROWS})
    scored, given = pd.read_csv(out, dtype=str), pd.read_csv(file, dtype=str)
    assert scored[list(given.columns)].equals(given)
    assert scored["prediction_label"].tolist() == direct(bench, frame)
    assert set(scored.columns) - set(given.columns) == {
        "prediction_label",
        "prediction_probability_0",
        "prediction_probability_1",
        "prediction_version",
        "prediction_id",
        "prediction_row",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_killed_twice_it_goes_on_and_predicts_nothing_twice(
    bench: Bench, frame: pd.DataFrame, tmp_path: Path
) -> None:
    since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
    file, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    progress = tmp_path / "out.parquet.progress"
    frame.to_parquet(file)
    for answers in (3, 8):
        running = subprocess.Popen(
            command(bench, file, out, "--outstanding", "2"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(
            "some answers",
            partial(has_answers, progress, answers),
        )
        running.kill()
        running.wait()
        assert not out.exists()
    report = score(bench, file, out)
    assert report["resumed_rows"] >= 8 * 8
    scored = pd.read_parquet(out)
    assert scored[list(frame.columns)].equals(frame)
    assert scored["prediction_label"].tolist() == direct(bench, frame)
    assert not progress.exists()
    model, chunks = bench.gateway.model, -(-ROWS // 8)
    events = read_since(
        bench.gateway.service.bootstrap,
        since,
        lambda events: len({e.event_id for e in events if e.message.context.model == model}) >= 2 * chunks,
    )
    by_job = {
        e.event_id
        for e in events
        if isinstance(e.message, PredictionServed) and e.message.context.protocol == "job"
    }
    assert by_job == set(scored["prediction_id"])
    assert len(by_job) == chunks


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda frame: frame.drop(columns="c"), "lacks c"),
        (
            lambda frame: frame.assign(b=["0.5"] * 100 + ["many"] + ["0.5"] * (ROWS - 101)),
            "row 101, column 'b'",
        ),
        (lambda frame: frame.assign(b=["0.5"] * 100 + [""] + ["0.5"] * (ROWS - 101)), "in row 101 is NaN"),
        (lambda frame: frame.iloc[:0], "has no rows"),
        (lambda frame: frame.assign(prediction_id=1), "give another --prefix"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    bench: Bench, frame: pd.DataFrame, tmp_path: Path, change: Any, why: str
) -> None:
    file, out = tmp_path / "in.csv.gz", tmp_path / "out.csv.gz"
    change(frame).to_csv(file, index=False)
    done = subprocess.run(command(bench, file, out), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert why in done.stderr.replace("\n", " "), done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
