import asyncio
from typing import Any

import pytest

from services.gateway.cache.flights import Flights, WaitedInVain
from services.gateway.domain.failures import ArmFailed
from slipway.clock import SystemClock
from slipway.errors import SlipwayError

CLOCK = SystemClock()
ANSWER = (b"answer",)


class Version:
    """Computes when the test says so."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Any]] = []

    async def compute(self) -> Any:
        self.calls.append(asyncio.get_running_loop().create_future())
        return await self.calls[-1]


class Bench:
    def __init__(self) -> None:
        self.version = Version()
        self.flights = Flights(CLOCK)

    def ask(self, *, deadline_s: float = 60.0) -> "asyncio.Task[Any]":
        joined = self.flights.join(
            b"k", deadline_s=CLOCK.monotonic_s() + deadline_s, compute=self.version.compute
        )
        return asyncio.get_running_loop().create_task(joined)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_equal_requests_are_computed_once() -> None:
    bench = Bench()
    tasks = [bench.ask() for _ in range(5)]
    await settle()
    assert len(bench.version.calls) == 1
    bench.version.calls[0].set_result(ANSWER)
    assert await asyncio.gather(*tasks) == [(ANSWER, False)] + [(ANSWER, True)] * 4
    again = bench.ask()
    await settle()
    bench.version.calls[1].set_result(ANSWER)
    assert await again == (ANSWER, False)


@pytest.mark.parametrize("ending", ["fails", "is cancelled"])
async def test_a_leader_that_goes_takes_nobody_with_it(ending: str) -> None:
    bench = Bench()
    tasks = [bench.ask() for _ in range(4)]
    await settle()
    if ending == "fails":
        bench.version.calls[0].set_exception(ArmFailed("broken"))
    else:
        tasks[0].cancel()
    await settle()
    assert len(bench.version.calls) == 2
    bench.version.calls[1].set_result(ANSWER)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], ArmFailed | asyncio.CancelledError)
    assert results[1:] == [(ANSWER, False), (ANSWER, True), (ANSWER, True)]


async def test_after_two_failures_the_rest_compute_for_themselves_at_once() -> None:
    bench = Bench()
    tasks = [bench.ask() for _ in range(5)]
    for call in range(2):
        await settle()
        bench.version.calls[call].set_exception(ArmFailed("broken"))
    await settle()
    assert len(bench.version.calls) == 5
    for waiting in bench.version.calls[2:]:
        waiting.set_result(ANSWER)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results[:2]] == [ArmFailed, ArmFailed]
    assert results[2:] == [(ANSWER, False)] * 3


async def test_many_leaders_that_leave_do_not_count_as_failures() -> None:
    bench = Bench()
    tasks = [bench.ask() for _ in range(6)]
    for leader in range(4):
        await settle()
        tasks[leader].cancel()
    await settle()
    assert len(bench.version.calls) == 5
    bench.version.calls[4].set_result(ANSWER)
    assert await tasks[5] == (ANSWER, True)
    await asyncio.gather(*tasks[:4], return_exceptions=True)
    assert await tasks[4] == (ANSWER, False)


async def test_who_waits_does_so_within_his_own_deadline() -> None:
    bench = Bench()
    leader = bench.ask()
    await settle()
    short, long = bench.ask(deadline_s=0.0), bench.ask()
    with pytest.raises(WaitedInVain):
        await short
    bench.version.calls[0].set_result(ANSWER)
    assert [await leader, await long] == [(ANSWER, False), (ANSWER, True)]


async def test_the_turn_is_not_lost_with_one_who_is_cancelled_as_he_gets_it() -> None:
    bench = Bench()
    tasks = [bench.ask() for _ in range(3)]
    await settle()
    bench.version.calls[0].set_exception(ArmFailed("broken"))
    # Between the failure and the next leader's first step there is one turn of the loop.
    tasks[1].get_loop().call_soon(tasks[1].cancel)
    await settle()
    bench.version.calls[-1].set_result(ANSWER)
    assert await tasks[2] == (ANSWER, False)
    await asyncio.gather(*tasks[:2], return_exceptions=True)


async def test_a_failure_while_nobody_waits_leaves_nothing_behind() -> None:
    bench = Bench()
    alone = bench.ask()
    await settle()
    bench.version.calls[0].set_exception(ArmFailed("broken"))
    with pytest.raises(SlipwayError):
        await alone
    again = bench.ask()
    await settle()
    bench.version.calls[1].set_result(ANSWER)
    assert await again == (ANSWER, False)


async def test_one_who_waits_and_leaves_harms_nobody() -> None:
    bench = Bench()
    tasks = [bench.ask() for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    bench.version.calls[0].set_exception(ArmFailed("broken"))
    await settle()
    bench.version.calls[1].set_result(ANSWER)
    assert await tasks[2] == (ANSWER, False)
    await asyncio.gather(*tasks[:2], return_exceptions=True)
