import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from services.gateway import wire
from services.gateway.domain.contract import contract_of
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm
from services.gateway.lanes import Lane, Lanes
from slipway.clock import SystemClock
from slipway.errors import DeadlineExceeded, Overloaded, Unavailable
from slipway.oip.open_inference_pb2 import ModelInferResponse
from slipway.spec import parse

CONTRACT = contract_of(
    parse("""
name: m
task: regression
features: [{name: x}]
label: {name: y}
serving: {max_batch_rows: 4, max_queued_rows: 6, hedge_share: 0.25}
""")
)
ARM = Arm(version="1", digest="", upstream="inference", role="champion", weight_ppm=1_000_000)
CLOCK = SystemClock()


class Upstream:
    """Answers each row with its double when the test says so, and fails where a row is 666."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls: list[list[float]] = []
        self.error: Exception | None = None

    def count_endpoints(self, _model: str, _arm: Arm) -> int:
        return 1

    async def infer(
        self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
    ) -> bytes:
        rows = np.frombuffer(wire.read_call(request).tensors[0].raw, dtype="<f4")
        self.calls.append(rows.tolist())
        await self.gate.wait()
        if self.error:
            raise self.error
        if 666 in rows:
            raise ArmFailed("cannot bear it")
        response = ModelInferResponse(raw_output_contents=[(rows * 2).tobytes()])
        response.outputs.add(name="value", datatype="FP32", shape=[len(rows)])
        return response.SerializeToString()


class Hanging(Upstream):
    """Never answers; notes who was cancelled, and what else it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoints = 1
        self.cancelled: list[list[float]] = []
        self.more: list[dict[str, Any]] = []

    def count_endpoints(self, _model: str, _arm: Arm) -> int:
        return self.endpoints

    async def infer(
        self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
    ) -> bytes:
        self.more.append(_more)
        try:
            return await super().infer(_model, _arm, request=request, deadline_s=deadline_s)
        except asyncio.CancelledError:
            self.cancelled.append(self.calls[len(self.cancelled)])
            raise


def lane(upstream: Any) -> Lane:
    return Lane(ARM, upstream, clock=CLOCK, slots=1)


def column(*rows: float) -> tuple[bytes, ...]:
    return (np.array(rows, dtype="<f4").tobytes(),)


async def submit(lane: Lane, *rows: float, within_s: float = 30.0) -> list[float]:
    lane.admit(CONTRACT, len(rows))
    deadline_s = CLOCK.monotonic_s() + within_s
    (answer,) = await lane.submit(CONTRACT, column(*rows), rows=len(rows), deadline_s=deadline_s)
    return [float(value) for value in np.frombuffer(answer, dtype="<f4")]


async def started(*coroutines: Awaitable[Any]) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_goes_at_once_while_a_slot_is_free_and_together_while_none_is() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 1), submit(it, 2), submit(it, 3, 4))
    assert upstream.calls == [[1]]
    upstream.gate.set()
    assert await asyncio.gather(*tasks) == [[2], [4], [6, 8]]
    assert upstream.calls == [[1], [2, 3, 4]]
    assert it.is_idle


async def test_a_joint_call_has_no_more_rows_than_the_spec_says() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 1), submit(it, 2, 2, 2), submit(it, 3, 3), submit(it, 4))
    upstream.gate.set()
    await asyncio.gather(*tasks)
    assert upstream.calls == [[1], [2, 2, 2], [3, 3, 4]]


async def test_a_full_queue_refuses() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1, 1, 1, 1), submit(it, 1, 1))
    with pytest.raises(Overloaded, match="6 rows wait for 'm' version '1', 6 at most"):
        await submit(it, 1)
    upstream.gate.set()
    await asyncio.gather(*tasks)
    assert await submit(it, 1) == [2]


async def test_a_caller_that_leaves_gives_its_place_back() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1, 1, 1, 1), submit(it, 1, 1))
    tasks[1].cancel()
    (replacement,) = await started(submit(it, 5, 5, 5, 5))
    upstream.gate.set()
    assert await replacement == [10, 10, 10, 10]
    assert [1, 1, 1, 1] not in upstream.calls
    assert tasks[1].cancelled()


async def test_one_bad_request_does_not_harm_its_neighbours() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1), submit(it, 666), submit(it, 2))
    upstream.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [r for r in results if not isinstance(r, ArmFailed)] == [[0], [2], [4]]
    assert isinstance(results[2], ArmFailed)
    assert upstream.calls == [[0], [1, 666, 2], [1], [666], [2]]


async def test_all_of_a_call_fail_when_the_version_is_away() -> None:
    upstream = Upstream()
    upstream.error = Unavailable("away")
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1), submit(it, 2))
    upstream.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [Unavailable] * 3
    assert upstream.calls == [[0], [1, 2]]


async def test_a_deadline_ends_the_wait_in_the_queue_and_in_the_call() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 0, within_s=0.01), submit(it, 1, within_s=0.01))
    for task in tasks:
        with pytest.raises(DeadlineExceeded):
            await task
    upstream.gate.set()
    await until(lambda: it.is_idle)
    assert upstream.calls == [[0]]


async def test_an_answer_that_is_none_is_the_arms_failure() -> None:
    class Nonsense(Upstream):
        async def infer(
            self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
        ) -> bytes:
            return b"\xff\xff"

    with pytest.raises(ArmFailed, match="answered nonsense"):
        await submit(lane(Nonsense()), 1)


async def test_a_fault_of_ours_leaves_nobody_waiting() -> None:
    class Broken(Upstream):
        async def infer(
            self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
        ) -> bytes:
            raise asyncio.CancelledError

    it = lane(Broken())
    with pytest.raises(ArmFailed, match="ended without an answer"):
        await submit(it, 1)
    await until(lambda: it.is_idle)


async def test_a_call_that_nobody_waits_for_any_more_is_cancelled() -> None:
    upstream = Hanging()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1), submit(it, 2))
    tasks[0].cancel()
    await until(lambda: upstream.calls == [[0], [1, 2]])
    assert upstream.cancelled == [[0]]
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert upstream.cancelled == [[0]]  # one still waits
    tasks[2].cancel()
    await until(lambda: it.is_idle)
    assert upstream.cancelled == [[0], [1, 2]]


async def test_who_leaves_before_the_call_began_keeps_no_slot() -> None:
    it = lane(Upstream())
    task = asyncio.ensure_future(submit(it, 0))
    await asyncio.sleep(0)  # the call is a task by now, which has not started
    task.cancel()
    await until(lambda: it.is_idle)


async def test_the_second_call_is_only_for_single_requests_while_there_is_room() -> None:
    upstream = Hanging()
    it = lane(upstream)
    (alone,) = await started(submit(it, 0))
    assert upstream.more[0]["hedge_share"] == 0.25
    assert upstream.more[0]["rows"] == 1
    assert upstream.more[0]["may_hedge"]() is False  # the only slot is busy
    upstream.endpoints = 2
    assert upstream.more[0]["may_hedge"]() is True
    upstream.endpoints = 1
    tasks = await started(submit(it, 1), submit(it, 2, 3))
    upstream.endpoints = 2
    assert upstream.more[0]["may_hedge"]() is False  # somebody waits
    alone.cancel()
    await until(lambda: len(upstream.calls) == 2)
    assert upstream.more[1]["hedge_share"] == 0
    assert upstream.more[1]["rows"] == 3
    for task in tasks:
        task.cancel()
    await until(lambda: it.is_idle)


async def test_idle_lanes_of_versions_without_a_route_are_forgotten() -> None:
    upstream: Any = Upstream()
    lanes = Lanes(upstream, CLOCK, slots=1)
    kept = lanes.lane("m", ARM)
    assert lanes.lane("m", ARM) is kept
    lanes.prune({("m", "1", "inference")})
    assert lanes.lane("m", ARM) is kept
    lanes.prune(set())
    assert lanes.lane("m", ARM) is not kept
