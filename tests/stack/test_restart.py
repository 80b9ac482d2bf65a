import asyncio
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.errors import NotFound, Unavailable
from slipway.stack.bring_up import bring_up
from slipway.stack.layout import Layout, make_directories
from slipway.stack.part import Part
from slipway.stack.readiness import tcp_open
from slipway.stack.restart import choose_restarts, restart
from slipway.stack.stack import Stack
from slipway.stack.starting import PartFailed, Phase, Progress
from slipway.stack.supervision import Supervision
from slipway.stack.take_down import take_down
from tests.service_process import free_port
from tests.stack.parts import idle_part

LISTEN = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
)


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


def worker(name: str, *, on_demand: bool = False) -> Part:
    """A process that listens."""
    port = free_port()
    return dataclasses.replace(
        idle_part(name, ports={name: port}, is_service=True, worker_of="gateway", on_demand=on_demand),
        command=(sys.executable, "-c", LISTEN, str(port)),
        is_ready=lambda: tcp_open(port),
    )


class Watch:
    """What a restart tells, and that a worker is ready whenever one is stopped."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.steps: list[str] = []

    def say(self, text: str) -> None:
        self.steps.append(text)
        stopped = text.removeprefix("stopping ")
        assert asyncio.run(self.is_any_ready(without=stopped)), self.steps

    async def is_any_ready(self, *, without: str) -> bool:
        return any([await part.is_ready() for part in self.stack.parts if part.name != without])

    def report(self, progress: Progress) -> None:
        if progress.phase in {Phase.READY, Phase.FAILED}:
            self.steps.append(f"{progress.part} {progress.phase}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the supervisor's socket."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def running(folder: Path, *parts: Part) -> Stack:
    layout = Layout(home=folder, cache=folder)
    make_directories(layout)
    stack = Stack(layout=layout, parts=parts)
    bring_up(stack, tuple(part for part in parts if not part.on_demand), report=lambda _: None)
    return stack


def test_a_single_worker_has_another_stand_in(folder: Path) -> None:
    stack = running(folder, worker("gateway"), worker("gateway_standby", on_demand=True))
    try:
        before, watch = Supervision(stack).alive(), Watch(stack)
        restart(stack, choose_restarts(stack, ["gateway"]), report=watch.report, say=watch.say)
        assert watch.steps == [
            "gateway_standby ready",
            "stopping gateway",
            "gateway ready",
            "stopping gateway_standby",
        ]
        after = Supervision(stack).alive()
        assert set(after) == {"gateway"}
        assert after != before
    finally:
        take_down(stack, say=lambda _: None)


def test_of_two_workers_the_second_waits_for_the_first_and_a_failure_ends_it(folder: Path) -> None:
    parts = (worker("gateway"), worker("gateway_2"), worker("gateway_standby", on_demand=True))
    stack = running(folder, *parts)
    try:
        watch = Watch(stack)
        restart(stack, choose_restarts(stack, []), report=watch.report, say=watch.say)
        assert watch.steps == ["stopping gateway", "gateway ready", "stopping gateway_2", "gateway_2 ready"]
        broken = dataclasses.replace(parts[0], command=("/bin/false",))
        changed = Stack(layout=stack.layout, parts=(broken, *parts[1:]))
        watch = Watch(changed)
        with pytest.raises(PartFailed, match="gateway died while starting"):
            restart(changed, choose_restarts(changed, []), report=watch.report, say=watch.say)
        assert watch.steps == ["stopping gateway", "gateway failed"]
        assert set(Supervision(stack).alive()) == {"gateway_2"}
    finally:
        take_down(stack, say=lambda _: None)
