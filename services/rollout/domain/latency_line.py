"""Above which latency a request is slow: a quantile of what the champion did so far.

The line for a request is drawn before the request is seen and is the same for both arms, so "slow" is an
event like any other. Buckets of constant relative width keep the error below 2.5 % at any latency.

Source: Masson, Rim, Lee, DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees, PVLDB 12, 2019, section 2.
"""

from dataclasses import dataclass
from math import ceil, inf, log
from typing import Final

from slipway.errors import InvalidInput

GROWTH: Final = 1.05
SHORTEST_S: Final = 1e-4
LONGEST_S: Final = 3600.0
_BUCKETS: Final = ceil(log(LONGEST_S / SHORTEST_S) / log(GROWTH)) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyLine:
    """Latencies by bucket: (bucket, count), ascending."""

    buckets: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """All latencies."""
        return sum(count for _, count in self.buckets)


def observe(line: LatencyLine, latency_s: float) -> LatencyLine:
    """Add a latency of the champion.

    Raises:
        InvalidInput: NaN, infinite or negative.
    """
    if not 0 <= latency_s < inf:
        raise InvalidInput(f"a latency of {latency_s} s: must be a finite number >= 0")
    bucket = min(_BUCKETS, max(0, ceil(log(max(latency_s, SHORTEST_S) / SHORTEST_S) / log(GROWTH))))
    counts = dict(line.buckets)
    counts[bucket] = counts.get(bucket, 0) + 1
    return LatencyLine(buckets=tuple(sorted(counts.items())))


def quantile_s(line: LatencyLine, share: float) -> float:
    """The upper end of the bucket in which the quantile lies; infinite before any latency.

    Args:
        line: Latencies so far.
        share: 0..1, 0.99 for the p99.
    """
    due, seen = share * line.count, 0
    for bucket, count in line.buckets:
        seen += count
        if seen >= due:
            return float(SHORTEST_S * GROWTH**bucket)
    return inf
