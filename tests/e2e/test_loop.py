"""The whole loop on a short stream, by the command a user runs."""

import subprocess
from pathlib import Path

import orjson
import pytest

from tests.e2e.drifting import replay_command, write_stream

pytestmark = pytest.mark.e2e


def test_a_forced_drift_ends_in_a_promotion_that_restores_the_accuracy(tmp_path: Path) -> None:
    table, spec = write_stream(tmp_path, name="e2e-drift", rows=2600, flip=1400)
    report_path = tmp_path / "report.json"
    command = replay_command(table, spec)
    done = subprocess.run(
        [*command, "--json", str(report_path)], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = orjson.loads(report_path.read_bytes())
    assert report["rows"] == 2000
    assert report["alarms"] >= 1
    assert report["promoted"] >= 1
    assert report["rolled_back"] == 0
    assert report["accuracy"]["closed_loop"] > report["accuracy"]["frozen"] + 0.1
    assert (report["requests_failed"], report["records_missing"]) == (0, 0)
    assert report["labels"] == {"MATCHED": 2000}
    assert report_path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
