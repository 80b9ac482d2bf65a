import asyncio

import pytest

from services.gateway.milestone import Milestone, Position
from slipway.errors import Unavailable

START = Position(1, 0)


def waiting(it: Milestone, *offsets: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(it.passed(Position(1, offset))) for offset in offsets]


async def test_wakes_those_whose_place_is_passed() -> None:
    it = Milestone(START)
    tasks = waiting(it, 10, 20, 30)
    await asyncio.sleep(0)
    it.reach(Position(1, 20))
    await asyncio.gather(*tasks[:2])
    assert not tasks[2].done()
    it.reach(Position(2, 0))
    await tasks[2]
    assert not it.is_awaited


async def test_who_is_late_does_not_wait() -> None:
    it = Milestone(START)
    it.reach(Position(1, 50))
    await it.passed(Position(1, 50))


async def test_who_has_left_is_forgotten() -> None:
    it = Milestone(START)
    tasks = waiting(it, 10, 20)
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(*tasks[:1], return_exceptions=True)
    it.reach(Position(1, 20))
    await tasks[1]
    tasks = waiting(it, 30)
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not it.is_awaited


async def test_a_failure_disappoints_all_who_wait_and_nobody_after() -> None:
    it = Milestone(START)
    tasks = waiting(it, 10, 20)
    await asyncio.sleep(0)
    tasks[1].cancel()
    it.fail(Unavailable("the disk"))
    with pytest.raises(Unavailable, match="the disk"):
        await tasks[0]
    it.reach(Position(1, 30))
    await it.passed(Position(1, 30))
