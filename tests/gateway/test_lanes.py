from typing import Any

from prometheus_client import REGISTRY

from services.gateway.domain.routing import Arm
from services.gateway.lanes import Lanes
from slipway.clock import SystemClock

ARM = Arm(version="1", digest="", upstream="inference", role="champion", weight_ppm=1_000_000)


def gauge(model: str) -> float | None:
    return REGISTRY.get_sample_value("slipway_gateway_slots_busy", {"model": model, "version": "1"})


def test_idle_lanes_of_versions_without_a_route_are_forgotten() -> None:
    nobody: Any = None
    lanes = Lanes(nobody, SystemClock(), slots=1)
    kept = lanes.lane("forgotten", ARM)
    assert lanes.lane("forgotten", ARM) is kept
    lanes.tell()
    assert gauge("forgotten") == 0
    lanes.prune({("forgotten", "1", "inference")})
    assert lanes.lane("forgotten", ARM) is kept
    lanes.prune(set())
    assert gauge("forgotten") is None
    assert lanes.lane("forgotten", ARM) is not kept
    lanes.tell()
    assert gauge("forgotten") == 0
