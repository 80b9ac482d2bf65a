from pathlib import Path

from slipway.stack.stack_status import count_restarts

LOG = """\
2026-11-22 07:00:00,000 INFO supervisord started with pid 10
2026-11-22 07:00:01,000 INFO spawned: 'kafka' with pid 11
2026-11-22 07:00:02,000 INFO spawned: 'kafka' with pid 12
2026-11-22 07:00:03,000 INFO supervisord started with pid 20
2026-11-22 07:00:04,000 INFO spawned: 'kafka' with pid 21
2026-11-22 07:00:05,000 INFO spawned: 'ray' with pid 22
2026-11-22 07:00:06,000 INFO spawned: 'ray' with pid 23
"""


def test_restarts_are_counted_since_the_supervisor_s_own_start(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    log.write_text(LOG)
    assert count_restarts(log) == {"kafka": 0, "ray": 1}


def test_a_missing_log_has_no_restarts(tmp_path: Path) -> None:
    assert count_restarts(tmp_path / "none.log")["kafka"] == 0
