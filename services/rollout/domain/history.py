"""How often the findings of a rollout are kept for its report: at most MOST of them over its whole life."""

from dataclasses import dataclass, replace
from typing import Final

MOST: Final = 500
SHORTEST_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Points that are kept.

    Attributes:
        next: Number of the next one; numbers grow for ever.
        kept: How many there are now.
        every_s: Between two points, unless the rollout moves.
    """

    next: int = 0
    kept: int = 0
    every_s: float = SHORTEST_S
    last_at_s: float = 0.0


NO_HISTORY: Final = History()


def is_due(history: History, *, now_s: float) -> bool:
    """Whether enough time has passed for another point."""
    return now_s - history.last_at_s >= history.every_s


def must_thin(history: History) -> bool:
    """Whether every second point has to go before another one comes."""
    return history.kept >= MOST


def thinned(history: History) -> History:
    """After every second point went: the next ones come half as often."""
    return replace(history, kept=(history.kept + 1) // 2, every_s=history.every_s * 2)


def add(history: History, *, now_s: float) -> History:
    """One more point was kept."""
    return replace(history, next=history.next + 1, kept=history.kept + 1, last_at_s=now_s)
