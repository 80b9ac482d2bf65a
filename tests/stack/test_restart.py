from pathlib import Path

import pytest

from slipway.errors import NotFound, Unavailable
from slipway.stack.layout import Layout
from slipway.stack.restart import choose_restarts, restart
from slipway.stack.stack import Stack
from tests.stack.parts import idle_part


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    parts = (
        idle_part("kafka"),
        idle_part("gateway", is_service=True, worker_of="gateway"),
        idle_part("gateway_2", is_service=True, worker_of="gateway"),
        idle_part("gateway_standby", is_service=True, worker_of="gateway", on_demand=True),
        idle_part("feedback", is_service=True),
    )
    return Stack(layout=Layout(home=tmp_path, cache=tmp_path), parts=parts)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["gateway", "gateway_2", "feedback"]),
        (["gateway"], ["gateway", "gateway_2"]),
        (["gateway_2"], ["gateway_2"]),
        (["gateway_standby"], ["gateway_standby"]),
        (["feedback", "kafka"], ["kafka", "feedback"]),
    ],
)
def test_a_service_means_its_workers_and_nothing_means_all_services(
    stack: Stack, names: list[str], chosen: list[str]
) -> None:
    assert [part.name for part in choose_restarts(stack, names)] == chosen


def test_an_unknown_part_is_named(stack: Stack) -> None:
    with pytest.raises(NotFound, match="'gatewy'"):
        choose_restarts(stack, ["gatewy"])


def test_a_stack_that_does_not_run_is_not_started(stack: Stack) -> None:
    with pytest.raises(Unavailable, match="`slipway up` starts it"):
        restart(stack, stack.parts, report=lambda _: None, say=lambda _: None)
