"""Which endpoint of several gets a call: the less loaded of two that are taken at random.

The load of an endpoint is its outstanding rows times how slow it has been lately. Two endpoints at
random are enough: the longest queue falls from log n / log log n to log log n, and a herd that
follows one stale "best" cannot form.

Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE Transactions on
Parallel and Distributed Systems 12(10), 2001, section 1. Peak EWMA: Finagle's load balancer of that
name, described in Gould, Beyond Round Robin: Load Balancing for Latency, Linkerd, 2016.
"""

from collections.abc import Sequence
from math import exp
from typing import Final, Protocol

DECAY_S: Final = 10.0  # Finagle's default
# No endpoint counts as faster than this, against the pool's mean, and one that was not called for long,
# or never, counts as just as fast: it is tried soon, and not flooded until its first answer.
_FASTEST: Final = 0.5
_WEIGHT: Final = 0.05  # of one call in the pool's mean, once it is one of many


class Rng(Protocol):
    """What the choice needs of a generator of random numbers."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class PoolLatency:
    """What a call takes in the whole pool, by its rows: a moving mean for each power of two."""

    __slots__ = ("_counts", "_means_s")

    def __init__(self) -> None:
        self._means_s: dict[int, float] = {}
        self._counts: dict[int, int] = {}

    def expected_s(self, rows: int) -> float | None:
        """The mean for a call of so many rows; None before the first of its size."""
        return self._means_s.get(rows.bit_length())

    def observe(self, rows: int, latency_s: float) -> float:
        """Take in one call; returns its slowness, latency over the mean so far, 1 for the first."""
        size = rows.bit_length()
        count = self._counts[size] = self._counts.get(size, 0) + 1
        mean_s = self._means_s.setdefault(size, latency_s)
        # The mean of the first calls: the very first, which also had to connect, is soon forgotten.
        self._means_s[size] = mean_s + max(_WEIGHT, 1 / count) * (latency_s - mean_s)
        return latency_s / mean_s if mean_s else 1.0


class Load:
    """One endpoint: rows that it has not answered yet, and how slow it was lately.

    Slowness is a ratio to the pool's mean for calls of the same size, so that an endpoint which got
    the large batches does not look slow.
    """

    __slots__ = ("_at_s", "_peak", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self._peak = _FASTEST
        self._at_s: float | None = None

    def observe(self, slowness: float, *, now_s: float) -> None:
        """Take in one answer: a rise counts at once, a fall by and by.

        Formula: w = exp(-(t - t0) / 10 s); peak = max(s, w peak + (1 - w) s).
        """
        if self._at_s is None or slowness > self._peak:
            self._peak = slowness
        else:
            weight = exp((self._at_s - now_s) / DECAY_S)
            self._peak = self._peak * weight + slowness * (1 - weight)
        self._at_s = now_s

    def cost(self, rows: int, *, now_s: float) -> float:
        """What it would cost to send so many rows more; an old estimate is worth less and less."""
        idle_s = 0.0 if self._at_s is None else now_s - self._at_s
        return max(_FASTEST, self._peak * exp(-idle_s / DECAY_S)) * (self.rows + rows)


def choose(loads: Sequence[Load], rows: int, *, now_s: float, rng: Rng) -> int:
    """The place of the endpoint that gets a call of so many rows; there must be one."""
    count = len(loads)
    if count == 1:
        return 0
    first = int(rng.random() * count)
    second = int(rng.random() * (count - 1))
    second += second >= first
    is_first = loads[first].cost(rows, now_s=now_s) <= loads[second].cost(rows, now_s=now_s)
    return first if is_first else second
