"""Whose turn it is: more often high than normal than low, and never never."""

from dataclasses import dataclass, replace
from typing import Final

# A job of high priority weighs four of normal, one of normal four of low.
WEIGHTS: Final = {"high": 16, "normal": 4, "low": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How far each priority has come on its own clock; the one that is behind goes first.

    Source: C. A. Waldspurger, W. E. Weihl, Stride Scheduling: Deterministic Proportional-Share Resource
    Management, 1995, section 2.
    """

    high: float = 0.0
    normal: float = 0.0
    low: float = 0.0

    def order(self) -> tuple[str, ...]:
        """The priorities in the order in which they should be asked for a job."""
        return tuple(sorted(WEIGHTS, key=lambda priority: (self._at(priority), -WEIGHTS[priority])))

    def after(self, priority: str) -> "Turns":
        """The turns after a job of this priority was taken.

        Those asked before it had none: they keep no credit for the time in which they wanted nothing.
        """
        here = self._at(priority)
        clocks = {name: max(self._at(name), here) for name in WEIGHTS}
        clocks[priority] = here + 1 / WEIGHTS[priority]
        start = min(clocks.values())  # so that the numbers stay small
        return replace(self, **{name: clock - start for name, clock in clocks.items()})

    def _at(self, priority: str) -> float:
        clock: float = getattr(self, priority)
        return clock
