"""Single-flight: of equal requests at the same time one computes, the others wait for it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from services.gateway.domain.batching import Columns
from slipway.clock import Clock
from slipway.errors import DeadlineExceeded

_FAILURES: Final = 2  # so many leaders may fail one after another; then the rest stop waiting for each other


class WaitedInVain(DeadlineExceeded):
    """The time for a request ran out while an equal one was being answered."""


class _Turn(Enum):
    LEAD = 1  # the leader is gone: compute for all who wait
    ALONE = 2  # leaders fail: compute for yourself


_Outcome = Columns | _Turn


@dataclass(slots=True, eq=False)
class _Flight:
    waiting: "deque[asyncio.Future[_Outcome]]" = field(default_factory=deque)
    failures: int = 0


class Flights:
    """What is being computed right now, by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: dict[bytes, _Flight] = {}

    async def join(
        self, key: bytes, *, deadline_s: float, compute: Callable[[], Awaitable[Columns]]
    ) -> tuple[Columns, bool]:
        """The answer, and whether somebody else computed it.

        A leader that fails or leaves takes nobody with it: one of those who wait leads next, under its own
        deadline. When that one fails too, each of the rest computes for itself, together and not in turn.

        Raises:
            WaitedInVain: The deadline came first.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            return await self._lead(key, flight, compute), False
        outcome = await self._wait(key, flight, deadline_s=deadline_s)
        if outcome is _Turn.LEAD:
            return await self._lead(key, flight, compute), False
        if isinstance(outcome, _Turn):
            return await compute(), False
        return outcome, True

    async def _lead(self, key: bytes, flight: _Flight, compute: Callable[[], Awaitable[Columns]]) -> Columns:
        columns: Columns | None = None
        was_cancelled = False
        try:
            columns = await compute()
        except asyncio.CancelledError:
            was_cancelled = True
            raise
        finally:
            if columns is not None:
                self._land(key, flight, columns)
            else:
                flight.failures += not was_cancelled
                self._hand_over(key, flight)
        return columns

    async def _wait(self, key: bytes, flight: _Flight, *, deadline_s: float) -> _Outcome:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_Outcome] = loop.create_future()
        flight.waiting.append(outcome)
        timer = loop.call_later(max(0.0, deadline_s - self._clock.monotonic_s()), _expire, outcome)
        try:
            return await outcome
        except asyncio.CancelledError:
            # Told to lead and cancelled before it could: the turn must not be lost with it.
            if not outcome.cancelled() and not outcome.exception() and outcome.result() is _Turn.LEAD:
                self._hand_over(key, flight)
            raise
        finally:
            timer.cancel()

    def _hand_over(self, key: bytes, flight: _Flight) -> None:
        if flight.failures >= _FAILURES:
            self._land(key, flight, _Turn.ALONE)
            return
        while flight.waiting:
            outcome = flight.waiting.popleft()
            if not outcome.done():
                outcome.set_result(_Turn.LEAD)
                return
        del self._flights[key]

    def _land(self, key: bytes, flight: _Flight, result: _Outcome) -> None:
        del self._flights[key]
        for outcome in flight.waiting:
            if not outcome.done():
                outcome.set_result(result)


def _expire(outcome: "asyncio.Future[_Outcome]") -> None:
    if not outcome.done():
        outcome.set_exception(
            WaitedInVain("the time for the request ran out while an equal one was being answered")
        )
