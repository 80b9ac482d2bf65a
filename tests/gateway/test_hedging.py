import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from services.gateway.hedging import first_answer
from slipway.errors import Unavailable


class Calls:
    """Calls that end when the test says so."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[bytes]] = []
        self.cancelled: list[int] = []

    async def call(self) -> bytes:
        gate: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        number = len(self.gates)
        self.gates.append(gate)
        try:
            return await gate
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    def second(self) -> Coroutine[Any, Any, bytes] | None:
        return self.call()

    async def started(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.gates) < count:
                await asyncio.sleep(0)


async def test_an_answer_in_time_needs_no_second_call() -> None:
    calls = Calls()
    answer = asyncio.ensure_future(first_answer(calls.call(), calls.second, delay_s=30))
    await calls.started(1)
    calls.gates[0].set_result(b"first")
    assert await answer == (b"first", False)
    assert len(calls.gates) == 1


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_first_answer_wins_and_the_other_call_is_cancelled(winner: int) -> None:
    calls = Calls()
    answer = asyncio.ensure_future(first_answer(calls.call(), calls.second, delay_s=0))
    await calls.started(2)
    calls.gates[winner].set_result(b"x")
    assert await answer == (b"x", winner == 1)
    assert calls.cancelled == [1 - winner]


async def test_no_second_call_where_there_is_no_room() -> None:
    calls = Calls()
    answer = asyncio.ensure_future(first_answer(calls.call(), lambda: None, delay_s=0))
    await calls.started(1)
    calls.gates[0].set_result(b"first")
    assert await answer == (b"first", False)


async def test_a_failure_waits_for_the_other_call() -> None:
    calls = Calls()
    answer = asyncio.ensure_future(first_answer(calls.call(), calls.second, delay_s=0))
    await calls.started(2)
    calls.gates[0].set_exception(Unavailable("first"))
    await asyncio.sleep(0)
    assert not answer.done()
    calls.gates[1].set_result(b"second")
    assert await answer == (b"second", True)


async def test_when_both_fail_the_first_failure_is_told() -> None:
    calls = Calls()
    answer = asyncio.ensure_future(first_answer(calls.call(), calls.second, delay_s=0))
    await calls.started(2)
    calls.gates[1].set_exception(Unavailable("second"))
    calls.gates[0].set_exception(Unavailable("first"))
    with pytest.raises(Unavailable, match="first"):
        await answer


async def test_who_leaves_takes_both_calls_along() -> None:
    calls = Calls()
    answer = asyncio.ensure_future(first_answer(calls.call(), calls.second, delay_s=0))
    await calls.started(2)
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert sorted(calls.cancelled) == [0, 1]
