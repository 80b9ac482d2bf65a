"""When a call is worth a second one to another replica, and how many may have one.

Source: Dean, Barroso, The Tail at Scale, Communications of the ACM 56(2), 2013, "Hedged requests":
a second request once the first has been outstanding longer than the 95th percentile of its class.
"""

from math import ceil
from typing import Final

QUANTILE: Final = 0.95
_KEPT: Final = 256
_FEWEST: Final = 32  # fewer calls have no 95th percentile worth the name
_RECKON_EVERY: Final = 16
_BURST: Final = 5.0  # second calls at once, after a quiet time


class HedgeBudget:
    """A token bucket that the calls fill: of n calls at most share * n + 5 are made twice."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens = 0.0

    def earn(self, share: float) -> None:
        """Each call adds its share."""
        self._tokens = min(_BURST, self._tokens + share)

    def spend(self) -> bool:
        """Take the token of one second call; False: there is none."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RecentQuantile:
    """The 95th percentile of the last 256 values, reckoned anew every 16th."""

    __slots__ = ("_quantile", "_seen", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._seen = 0
        self._quantile: float | None = None

    def observe(self, value: float) -> None:
        """Take in one value."""
        if len(self._values) < _KEPT:
            self._values.append(value)
        else:
            self._values[self._seen % _KEPT] = value
        self._seen += 1
        if self._seen >= _FEWEST and self._seen % _RECKON_EVERY == 0:
            self._quantile = nearest_rank(self._values, QUANTILE)

    @property
    def value(self) -> float | None:
        """The percentile; None while too few values are known."""
        return self._quantile


def nearest_rank(values: list[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed.

    Source: Hyndman, Fan, Sample Quantiles in Statistical Packages, The American Statistician 50(4),
    1996, definition 1.
    """
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
