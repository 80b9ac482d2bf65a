"""When a callback that failed is tried again."""

from typing import Final

_FIRST_DELAY_S: Final = 1.0
_LONGEST_DELAY_S: Final = 300.0
MOST_TRIES: Final = 12


def next_try_s(tries: int, *, now_s: float, deadline_s: float) -> float | None:
    """When to try again after so many tries; None: no more."""
    due_s = now_s + min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (tries - 1))
    return None if tries >= MOST_TRIES or due_s >= deadline_s else due_s
