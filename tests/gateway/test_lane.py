import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.gateway import lane_work, wire
from services.gateway.domain.contract import contract_of
from services.gateway.domain.elements import join, split_all
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.priorities import DEFAULT, FIRST, LAST
from services.gateway.domain.routing import Arm
from services.gateway.lane import Lane
from services.gateway.stages import COMPUTE, QUEUE, RECORD, UNMEASURED, StageSampler, _Measured
from slipway.clock import Clock, ManualClock, SystemClock
from slipway.errors import DeadlineExceeded, Overloaded, Unavailable
from slipway.oip.open_inference_pb2 import ModelInferResponse
from slipway.spec import parse

CONTRACT = contract_of(
    parse("""
name: m
task: regression
features: [{name: x}]
label: {name: y}
serving: {max_batch_rows: 4, max_queued_rows: 7, hedge_share: 0.25}
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


def lane(upstream: Any, clock: Clock = CLOCK) -> Lane:
    return Lane(ARM, upstream, clock=clock, slots=1)


def column(*rows: float) -> tuple[bytes, ...]:
    return (np.array(rows, dtype="<f4").tobytes(),)


async def submit(
    lane: Lane, *rows: float, within_s: float = 30.0, level: int = DEFAULT, clock: Clock = CLOCK
) -> list[float]:
    deadline_s = clock.monotonic_s() + within_s
    lane.admit(CONTRACT, len(rows), level=level, deadline_s=deadline_s)
    (answer,) = await lane.submit(CONTRACT, column(*rows), rows=len(rows), deadline_s=deadline_s, level=level)
    return [float(value) for value in np.frombuffer(answer, dtype="<f4")]


async def test_a_call_is_looked_at_while_its_version_computes_and_again_when_it_has_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream, looked = Upstream(), asyncio.Event()
    prediction: Any = object()
    looks: list[tuple[Any, ...]] = []

    def look(predictions: list[Any]) -> None:
        looks.append(("inputs", *predictions))
        looked.set()

    monkeypatch.setattr(lane_work, "defend_inputs", look)
    monkeypatch.setattr(lane_work, "defend_answers", looks.extend)
    it, now_s = lane(upstream), CLOCK.monotonic_s()
    submitted = it.submit(CONTRACT, column(1), rows=1, deadline_s=now_s + 30, prediction=prediction)
    [task] = await started(submitted)
    await looked.wait()
    assert looks == [("inputs", prediction)]
    upstream.gate.set()
    answer = await task
    assert looks[1:] == [(prediction, answer)]


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


async def test_requests_that_enter_turn_by_turn_go_together_where_calls_have_had_company() -> None:
    upstream, clock = Upstream(), ManualClock()
    it = lane(upstream, clock)
    for _ in range(8):
        upstream.gate.clear()
        tasks = await started(*(submit(it, n, clock=clock) for n in range(4)))
        clock.advance(0.05)
        upstream.gate.set()
        await asyncio.gather(*tasks)
    upstream.calls.clear()
    arriving = []
    for n in range(3):
        arriving += await started(submit(it, n, clock=clock))
    assert await asyncio.gather(*arriving) == [[0], [2], [4]]
    assert len(upstream.calls) < 3


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
    with pytest.raises(
        Overloaded,
        match="'m' version '1' is overloaded: 6 rows wait, 6 at most at this priority; try again in ",
    ):
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


class Timed(Upstream):
    """Takes a second of a clock for each row."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    async def infer(
        self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
    ) -> bytes:
        answer = await super().infer(_model, _arm, request=request, deadline_s=deadline_s)
        self._clock.advance(len(self.calls[-1]))
        return answer


async def timed() -> tuple[Lane, Timed, ManualClock]:
    """A lane that has learned what a row costs."""
    clock = ManualClock()
    upstream = Timed(clock)
    upstream.gate.set()
    it = lane(upstream, clock)
    for _ in range(6):
        await submit(it, 0, clock=clock)
    upstream.gate.clear()
    upstream.calls.clear()
    return it, upstream, clock


def refusals(reason: str) -> float:
    return REGISTRY.get_sample_value("slipway_gateway_refusals_total", {"reason": reason}) or 0.0


async def test_who_would_wait_in_vain_is_told_so_on_arrival_and_when_to_come_again() -> None:
    it, upstream, clock = await timed()
    tasks = await started(submit(it, 1, clock=clock), submit(it, 2, clock=clock))
    before = refusals("deadline")
    with pytest.raises(Overloaded, match="and the request has") as refused:
        await submit(it, 3, within_s=2.0, clock=clock)
    assert refused.value.retry_after_s == pytest.approx(2.0, abs=0.5)
    assert refusals("deadline") == before + 1
    upstream.gate.set()
    await asyncio.gather(*tasks)
    assert upstream.calls == [[1], [2]]


async def test_who_has_too_little_time_left_when_the_turn_comes_is_not_sent() -> None:
    it, upstream, clock = await timed()
    tasks = await started(submit(it, 1, clock=clock), submit(it, 2, clock=clock, within_s=4.0))
    clock.advance(3.5)
    upstream.gate.set()
    assert await tasks[0] == [2]
    with pytest.raises(DeadlineExceeded, match="was not sent"):
        await tasks[1]
    assert upstream.calls == [[1]]


async def test_a_joint_call_is_kept_so_small_that_all_are_in_time() -> None:
    it, upstream, clock = await timed()
    tasks = await started(*(submit(it, n, clock=clock, within_s=w) for n, w in enumerate((30, 4, 30, 30))))
    upstream.gate.set()
    await asyncio.gather(*tasks)
    assert upstream.calls == [[0], [1, 2], [3]]


async def test_the_urgent_have_room_where_others_have_none_and_go_first() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1, 1, level=LAST), submit(it, 2, 2, 2, 2))
    with pytest.raises(Overloaded):
        await submit(it, 3, level=LAST)
    tasks += await started(submit(it, 4, level=FIRST))
    upstream.gate.set()
    await asyncio.gather(*tasks)
    assert upstream.calls == [[0], [4], [2, 2, 2, 2], [1, 1]]


async def test_a_call_that_all_callers_have_left_is_cancelled_and_its_slot_is_free() -> None:
    ended: list[str] = []

    class Watched(Upstream):
        async def infer(
            self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
        ) -> bytes:
            try:
                return await super().infer(_model, _arm, request=request, deadline_s=deadline_s)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

    upstream = Watched()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1), submit(it, 2))
    tasks[0].cancel()
    await until(lambda: len(upstream.calls) == 2)
    assert ended == ["cancelled"]
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert ended == ["cancelled"]
    upstream.gate.set()
    assert await tasks[2] == [4]
    assert upstream.calls == [[0], [1, 2]]


async def test_callers_that_leave_all_together_leave_nothing_behind() -> None:
    upstream = Upstream()
    it = lane(upstream)
    tasks = await started(*(submit(it, 1) for _ in range(6)))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await until(lambda: it.is_idle)
    upstream.gate.set()
    assert await submit(it, 2) == [4]


async def test_who_left_while_a_batch_failed_is_not_tried_again() -> None:
    class Unhurried(Upstream):
        async def infer(
            self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
        ) -> bytes:
            await asyncio.sleep(0)
            return await super().infer(_model, _arm, request=request, deadline_s=deadline_s)

    upstream = Unhurried()
    it = lane(upstream)
    tasks = await started(submit(it, 0), submit(it, 1), submit(it, 666), submit(it, 2))
    upstream.gate.set()
    await until(lambda: len(upstream.calls) == 2)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert upstream.calls == [[0], [1, 666, 2], [1], [666]]


TWO_INPUTS = contract_of(
    parse("""
name: two
task: regression
features: [{name: x}, {name: c, type: categorical, categories: [a, b]}]
label: {name: y}
""")
)


async def test_requests_of_several_tensors_and_rows_go_together() -> None:
    class Lengths(Upstream):
        """Answers x plus the length of c."""

        async def infer(
            self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
        ) -> bytes:
            x, c = wire.read_call(request).tensors
            assert x.shape == c.shape
            texts = split_all(c.raw)
            self.calls.append([float(len(texts))])
            await self.gate.wait()
            values = np.frombuffer(x.raw, dtype="<f4") + [len(text) for text in texts]
            response = ModelInferResponse(raw_output_contents=[values.astype("<f4").tobytes()])
            response.outputs.add(name="value", datatype="FP32", shape=[len(values)])
            return response.SerializeToString()

    async def ask(*rows: tuple[float, bytes]) -> list[float]:
        columns = (column(*(x for x, _ in rows))[0], join([c for _, c in rows]))
        deadline_s = CLOCK.monotonic_s() + 30
        (answer,) = await it.submit(TWO_INPUTS, columns, rows=len(rows), deadline_s=deadline_s)
        return [float(value) for value in np.frombuffer(answer, dtype="<f4")]

    upstream = Lengths()
    it = lane(upstream)
    tasks = await started(ask((1, b"a")), ask((2, b"bb"), (3, b"")), ask((4, b"cccc")))
    upstream.gate.set()
    assert await asyncio.gather(*tasks) == [[2], [4, 3], [8]]
    assert upstream.calls == [[1], [3]]


async def test_the_stages_of_a_request_are_measured() -> None:
    stages: Any = _Measured()
    upstream = Upstream()
    upstream.gate.set()
    deadline_s = CLOCK.monotonic_s() + 30
    await lane(upstream).submit(CONTRACT, column(1), rows=1, deadline_s=deadline_s, stages=stages)
    stages.lap(RECORD)
    stages.tell("staged")
    for stage in (QUEUE, COMPUTE, RECORD):
        labels = {"model": "staged", "stage": stage}
        assert REGISTRY.get_sample_value("slipway_request_stage_seconds_count", labels) == 1
    sampler = StageSampler()
    assert sum(sampler.begin() is not UNMEASURED for _ in range(170)) == 10


class Hanging(Upstream):
    """Never answers; notes what else it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoints = 1
        self.more: list[dict[str, Any]] = []

    def count_endpoints(self, _model: str, _arm: Arm) -> int:
        return self.endpoints

    async def infer(
        self, _model: str, _arm: Arm, *, request: bytes, deadline_s: float, **_more: Any
    ) -> bytes:
        self.more.append(_more)
        return await super().infer(_model, _arm, request=request, deadline_s=deadline_s)


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
    assert (upstream.more[0]["hedge_share"], upstream.more[0]["rows"]) == (0.25, 1)
    assert upstream.more[0]["may_hedge"]() is False  # the only slot is busy
    upstream.endpoints = 2
    assert upstream.more[0]["may_hedge"]() is True
    upstream.endpoints = 1
    tasks = await started(submit(it, 1), submit(it, 2, 3))
    upstream.endpoints = 2
    assert upstream.more[0]["may_hedge"]() is False  # somebody waits
    alone.cancel()
    await until(lambda: len(upstream.calls) == 2)
    assert (upstream.more[1]["hedge_share"], upstream.more[1]["rows"]) == (0, 3)
    for task in tasks:
        task.cancel()
    await until(lambda: it.is_idle)


async def test_it_is_crowded_where_the_lowest_level_would_be_refused() -> None:
    upstream = Upstream()
    it = lane(upstream)
    assert not it.is_crowded(CONTRACT, 1)
    tasks = await started(*(submit(it, float(n)) for n in range(6)))
    assert it.is_crowded(CONTRACT, 1)
    upstream.gate.set()
    await asyncio.gather(*tasks)
    assert not it.is_crowded(CONTRACT, 1)
