"""The line above which a request is slow, drawn anew after every few latencies of the champion.

A line need not use the newest latency, only latencies from before the request: so it is drawn now and then,
at a cost that hundreds of predictions share.
"""

from dataclasses import dataclass
from typing import Final

from services.rollout.domain import latency_line
from services.rollout.domain.latency_line import LatencyLine

EVERY: Final = 50
QUANTILES: Final = (0.5, 0.9, 0.99)
_NO_LATENCIES: Final = LatencyLine()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLine:
    """The champion's latencies, and the lines drawn from them.

    Attributes:
        fresh: Latencies that no line knows yet, fewer than EVERY.
        cuts_s: Per quantile of QUANTILES; empty before the first EVERY latencies.
    """

    line: LatencyLine = _NO_LATENCIES
    fresh: tuple[float, ...] = ()
    cuts_s: tuple[float, ...] = ()


NO_LINE: Final = SlowLine()


def observe(slow: SlowLine, latency_s: float) -> SlowLine:
    """Add a latency of the champion.

    Raises:
        InvalidInput: NaN, infinite or negative, found when the next line is drawn.
    """
    fresh = (*slow.fresh, latency_s)
    if len(fresh) < EVERY:
        return SlowLine(line=slow.line, fresh=fresh, cuts_s=slow.cuts_s)
    line = slow.line
    for each_s in fresh:
        line = latency_line.observe(line, each_s)
    cuts_s = tuple(latency_line.quantile_s(line, share) for share in QUANTILES)
    return SlowLine(line=line, cuts_s=cuts_s)


def is_slow(slow: SlowLine, latency_s: float, *, quantile: float) -> bool | None:
    """Whether a request is above the line; None while there is none."""
    if not slow.cuts_s:
        return None
    return latency_s > slow.cuts_s[QUANTILES.index(quantile)]
