"""How many requests a version may have in flight: an adaptive limit by the gradient of their latency."""

from math import inf, sqrt
from typing import Final

from services.gateway.domain.cost_model import CostModel

_SMOOTHING: Final = 0.5
_STEEPEST: Final = 0.5
EFFICIENT_SHARE: Final = 0.95  # of the highest rate; what a call must reach before latency may cost rate
_TURNS: Final = 2  # calls that a request meets in a busy lane: the one ahead and its own
_TOLERANCE: Final = 1.5  # of jitter around them
_TIMEOUT_SHARE: Final = 0.25  # of the time limit; a shorter wait is no reason to refuse


class ConcurrencyLimit:
    """A limit on requests in flight that grows while they are fast and shrinks while they are slow.

    Formula: gradient = clamp(target / latency, 0.5, 1);
        limit <- limit + 0.5 * (gradient * limit + sqrt(limit) - limit).
    Source: Netflix concurrency-limits, `GradientLimit` and `Gradient2Limit` (E. Landau, W. Thurston, T.
        Bozarth, "Performance Under Load", 2018). There the target is the latency without load, or a long
        average of it.
    Neither works where calls are coalesced: a call of n rows takes a * n + b, so latency grows with
        concurrency by design and while the rate still rises. A limit that follows it falls to a few requests,
        calls to a few rows, and the rate with them; and under lasting overload a long average drifts up to
        the overloaded latency. Hence a target of its own, see `target_s`, and a floor, see `floor`.
    It is updated once a call. A limit above what is in flight says nothing, so a shrinking one starts there.
    """

    def __init__(self) -> None:
        self.value = inf  # until a call has ended

    def update(
        self, latency_s: float, *, target_s: float, in_flight: int, lowest: float, highest: float
    ) -> None:
        """Learn from the mean latency of the requests of one call."""
        gradient = max(_STEEPEST, min(1.0, target_s / latency_s)) if latency_s > 0 else 1.0
        limit = self.value if gradient == 1 else min(self.value, max(float(in_flight), 1.0))
        limit = min(limit, highest)
        limit += _SMOOTHING * (gradient * limit + sqrt(limit) - limit)
        self.value = max(lowest, min(highest, limit))


def target_s(costs: CostModel, *, timeout_s: float, max_batch_rows: int) -> float:
    """The latency that is still no sign of overload.

    The larger of a quarter of the time limit and of the time in a lane that is busy with calls of an
    efficient size: the rest of the call ahead and the own one, with half as much again for jitter.
    """
    rows = costs.efficient_rows(EFFICIENT_SHARE, max_batch_rows)
    return max(_TIMEOUT_SHARE * timeout_s, _TOLERANCE * _TURNS * costs.seconds(rows))


def floor(costs: CostModel, *, slots: int, rows_per_request: float, max_batch_rows: int) -> float:
    """Requests that keep all slots busy with calls of an efficient size, a second set of them waiting."""
    rows = costs.efficient_rows(EFFICIENT_SHARE, max_batch_rows)
    return max(1.0, rows / rows_per_request) * slots * _TURNS
