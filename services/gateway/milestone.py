"""A place in the spool that moves on, and those who wait until it has passed theirs."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between two records."""

    segment: int
    offset: int


class Milestone:
    """Everything before `at` is safe, in the way that the milestone stands for."""

    def __init__(self, at: Position) -> None:
        self.at = at
        # In the order of their places: they wait for the end of the spool, which only grows.
        self._waiting: OrderedDict[asyncio.Future[None], Position] = OrderedDict()

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def reach(self, at: Position) -> None:
        """Move on, and wake those whose place is passed."""
        self.at = at
        while self._waiting:
            future, place = self._waiting.popitem(last=False)
            if place > at:
                self._waiting[future] = place
                self._waiting.move_to_end(future, last=False)
                return
            if not future.done():
                future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Disappoint all who wait."""
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_exception(error)

    async def passed(self, place: Position) -> None:
        """Return when everything before `place` is safe; who is cancelled waits no longer."""
        if place <= self.at:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = place
        try:
            await future
        finally:
            self._waiting.pop(future, None)
