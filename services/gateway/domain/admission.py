"""Whether a request is let in: where it would wait in vain it is told so at once.

A refusal on arrival costs its caller nothing and the version nothing. A request that is computed and comes
too late takes the time of one that would have been in time: that is how a server under overload comes to do
only useless work (cf. Gujarati et al., "Serving DNNs like Clockwork", OSDI 2020).
"""

from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from services.gateway.domain import priorities
from services.gateway.domain.cost_model import CostModel

QUEUE_FULL: Final = "queue_full"
DEADLINE: Final = "deadline"
CONCURRENCY: Final = "concurrency"
REASONS: Final = (QUEUE_FULL, DEADLINE, CONCURRENCY)

_EFFICIENT_SHARE: Final = 0.9  # of the highest rate
_SOONEST_RETRY_S: Final = 0.005
_LATEST_RETRY_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why not, and when it may work."""

    reason: str
    text: str
    retry_after_s: float


class Load(NamedTuple):
    """What a lane has to do before a request that comes now; made for each, so a cheap kind of record."""

    rows_ahead: float
    queued_rows: int
    in_flight: int  # requests, waiting or running
    in_flight_ahead: int  # those of its own level and the levels above
    running_left_s: float  # of all running calls together
    slots: int
    limit: float


def seconds_to_answer(
    costs: CostModel, load: Load, *, rows: int, left_s: float, max_batch_rows: int
) -> float:
    """When the answer to a request that comes now is expected, in seconds from now.

    Formula: (left + (k - 1) * T(max)) / slots + T(m), with T the expected seconds of a call, `left` what
        running calls still need, n the rows ahead and its own, k = ceil(n / max) the calls they make and
        m = n - (k - 1) * max its own call. Others will join that call: m is at least an efficient size, as
        far as two calls of that size fit into the time of the request. A request that only had time for
        a call of its own would keep the next call small for everybody.
    """
    total = load.rows_ahead + rows
    calls_before = max(0, ceil(total / max_batch_rows) - 1)
    wait_s = (load.running_left_s + calls_before * costs.seconds(max_batch_rows)) / load.slots
    efficient = min(costs.efficient_rows(_EFFICIENT_SHARE, max_batch_rows), costs.rows_within(left_s / 2))
    return wait_s + costs.cautious_seconds(max(total - calls_before * max_batch_rows, efficient))


def refuse(
    costs: CostModel,
    load: Load,
    *,
    rows: int,
    level: int,
    left_s: float,
    max_batch_rows: int,
    max_queued_rows: int,
) -> Refusal | None:
    """Why a request that would have to wait is not let in; None when it is.

    Args:
        costs: What calls of the version cost.
        load: What is ahead of it.
        rows: Its own.
        level: Its priority.
        left_s: Until its deadline.
        max_batch_rows: Of one call.
        max_queued_rows: Of all that wait.
    """
    room = priorities.room(level)
    if load.queued_rows and load.queued_rows + rows > room * max_queued_rows:
        text = f"{load.queued_rows} rows wait, {room * max_queued_rows:.0f} at most at this priority"
        return _refusal(QUEUE_FULL, text, retry_after_s=costs.seconds(max_batch_rows) / load.slots)
    limit = max(float(load.slots), load.limit)
    if load.in_flight_ahead >= limit or (level > priorities.FIRST and load.in_flight >= room * limit):
        text = f"{load.in_flight} requests are in flight, {int(limit)} at most as fast as it answers now"
        return _refusal(CONCURRENCY, text, retry_after_s=load.running_left_s / load.slots)
    needed_s = seconds_to_answer(costs, load, rows=rows, left_s=left_s, max_batch_rows=max_batch_rows)
    if needed_s > left_s:
        text = f"an answer would take {needed_s:.3f} s, and the request has {left_s:.3f} s"
        return _refusal(DEADLINE, text, retry_after_s=needed_s - left_s)
    return None


def _refusal(reason: str, text: str, *, retry_after_s: float) -> Refusal:
    bounded_s = min(max(retry_after_s, _SOONEST_RETRY_S), _LATEST_RETRY_S)
    return Refusal(reason=reason, text=text, retry_after_s=bounded_s)
