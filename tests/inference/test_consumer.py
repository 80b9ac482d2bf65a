"""Which versions a route table has loaded."""

import pytest

from services.inference.consumer import apply_routes
from services.inference.domain.demand import Resources
from services.inference.domain.fleet import Policy
from services.inference.handlers import Inference
from slipway.clock import ManualClock
from slipway.envelope import Event
from slipway.v1.rollout_pb2 import Arm, RouteTable

POLICY = Policy(drain_s=10, load_deadline_s=120, retry_first_s=30, retry_limit_s=600, max_loading=4)
RESOURCES = Resources(spec_yaml="", replicas=1, cpus_per_replica=0.1)


def asked_for(*arms: Arm) -> set[str]:
    inference = Inference(POLICY, ManualClock(), report_s=1.0, operator_token="token")
    inference.set_resources("m", RESOURCES, revision=1)
    table = RouteTable(model="m", epoch=1, arms=arms)
    apply_routes(inference, Event(topic="routes", key="m", message=table, event_id=""))
    return {version.version for version in inference.demand.wanted()}


@pytest.mark.parametrize("weight_ppm", [0, 250_000])
@pytest.mark.parametrize("role", ["champion", "canary", "rival", "shadow", "standby", "warming"])
async def test_an_arm_of_any_role_has_replicas_also_without_weight(role: str, weight_ppm: int) -> None:
    arm = Arm(version="2", digest="a" * 64, upstream="inference", role=role, weight_ppm=weight_ppm)
    assert asked_for(arm) == {"2"}


async def test_all_versions_of_an_ab_step_and_the_one_in_shadow_run_at_once() -> None:
    roles = ("champion", "canary", "rival", "rival", "shadow")
    arms = [
        Arm(version=str(n), digest="a" * 64, upstream="inference", role=role) for n, role in enumerate(roles)
    ]
    assert asked_for(*arms) == {"0", "1", "2", "3", "4"}


async def test_servers_of_others_are_not_started() -> None:
    assert asked_for(Arm(version="2", digest="a" * 64, upstream="10.0.0.1:8001", role="shadow")) == set()
