"""Who waits for a version, and who is next."""

from collections import OrderedDict
from collections.abc import Iterator
from heapq import merge
from typing import Generic, Protocol, TypeVar

from services.gateway.domain import priorities


class Waiter(Protocol):
    """What the policy of a lane must know of a request."""

    @property
    def rows(self) -> int:
        """How many it has."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of its tensors."""
        ...

    @property
    def level(self) -> int:
        """Its priority."""
        ...

    @property
    def queued_s(self) -> float:
        """When it came."""
        ...

    @property
    def deadline_s(self) -> float:
        """When its caller leaves."""
        ...


W = TypeVar("W", bound=Waiter)


class WaitingLine(Generic[W]):
    """First come first served within a level; between levels see `priorities`."""

    def __init__(self) -> None:
        self.rows = 0
        self.count = 0
        self._levels: dict[int, OrderedDict[int, W]] = {level: OrderedDict() for level in priorities.LEVELS}
        self._level_rows = dict.fromkeys(priorities.LEVELS, 0)

    def add(self, waiter: W) -> None:
        """Take a place at the end of its level."""
        self._levels[waiter.level][id(waiter)] = waiter
        self._level_rows[waiter.level] += waiter.rows
        self.rows += waiter.rows
        self.count += 1

    def remove(self, waiter: W) -> bool:
        """Give a place back; false where there was none."""
        if self._levels[waiter.level].pop(id(waiter), None) is None:
            return False
        self._level_rows[waiter.level] -= waiter.rows
        self.rows -= waiter.rows
        self.count -= 1
        return True

    def in_order(self, timeout_s: float) -> Iterator[W]:
        """Who is next, and next after that. The line must not change meanwhile."""
        waiting = [level.values() for level in self._levels.values() if level]
        if len(waiting) == 1:
            return iter(waiting[0])

        def counts_as_come_s(waiter: W) -> float:
            return waiter.queued_s + priorities.handicap_s(waiter.level, timeout_s)

        return merge(*waiting, key=counts_as_come_s)

    def rows_ahead(self, level: int, *, now_s: float, timeout_s: float) -> float:
        """How many rows go before one that comes now.

        All of its own level, and of another the share that is older than the difference of their handicaps;
        ages are taken to be spread evenly.
        """
        if self._level_rows[level] == self.rows:
            return float(self.rows)
        own_s = priorities.handicap_s(level, timeout_s)
        return sum(
            rows * self._share_before(other, priorities.handicap_s(other, timeout_s) - own_s, now_s=now_s)
            for other, rows in self._level_rows.items()
            if rows
        )

    def _share_before(self, level: int, lead_s: float, *, now_s: float) -> float:
        if lead_s <= 0:
            return 1.0
        waiting = self._levels[level]
        age_s = now_s - waiting[next(iter(waiting))].queued_s
        return max(0.0, 1 - lead_s / age_s) if age_s > 0 else 0.0
