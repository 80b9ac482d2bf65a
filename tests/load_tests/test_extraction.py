"""The extraction alarms against thieves and honest callers, in small; the long run is a load test."""

import numpy as np

from tests.load_tests.folders import imported

NAMES = ("extraction_data", "extraction_room", "extraction_clients", "extraction_run")


def test_a_sweep_is_suspected_and_honest_callers_are_not() -> None:
    with imported("extraction", "compare", names=NAMES) as modules:
        room = modules["extraction_room"].Room(modules["extraction_data"].breast_cancer())
        clients = modules["extraction_clients"]
        sweep = room.watch(clients.MADE["uniform"], most=30)
        assert sweep.suspicion is not None
        assert sweep.suspicion.signal == "new_ground"
        assert 0 <= room.agreement(sweep.asked[: sweep.alarm_at]) < 0.8
        found = list(modules["extraction_run"].honest(room, callers=1, rows=60))
        assert [row["alarms"] for row in found] == [{}] * len(clients.HONEST)
        page = modules["extraction_run"].report({"thieves": [], "honest": found}, heading=["# Figures"])
        assert "0 of 5 honest callers suspected" in page
        assert np.isfinite(sweep.watch.shares["in_line"].statistic)
