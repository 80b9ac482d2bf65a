"""What one version's lane decides: who is let in, who goes together, what was learned from a call.

It knows no tasks and no wire, so a simulation can drive it through hours of overload in a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic

from services.gateway.domain import priorities
from services.gateway.domain.admission import Load, Refusal, refuse
from services.gateway.domain.batching import take_batch
from services.gateway.domain.concurrency_limit import EFFICIENT_SHARE, ConcurrencyLimit, floor, target_s
from services.gateway.domain.contract import Contract
from services.gateway.domain.cost_model import CostModel
from services.gateway.domain.gathering import Gathering
from services.gateway.domain.waiting_line import W, WaitingLine

_MAX_BATCH_BYTES: Final = 3 * 1024 * 1024  # leaves room below the 4 MiB that servers take as a default
_STALE_AFTER_S: Final = 1.0
_SMOOTHING: Final = 0.1
_PATIENCE: Final = 0.25  # of the time that the first in the line has left
_FIRST_GROWTH: Final = 4  # of calls whose cost is not known yet: a first call of 256 rows may take for ever


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call(Generic[W]):
    """One call to the version while it runs."""

    members: Sequence[W]
    rows: int
    started_s: float
    expected_end_s: float


class LanePolicy(Generic[W]):
    """The queue of one version and what is known of its speed."""

    def __init__(self) -> None:
        self.line: WaitingLine[W] = WaitingLine()
        self.limit = ConcurrencyLimit()
        self.running: set[Call[W]] = set()
        self._gathering = Gathering()
        self._is_gathering = False
        self._known_costs = CostModel()
        self._unknown_costs = CostModel()
        self._in_flight = [0] * (priorities.LAST + 1)  # requests waiting or running, by level
        self._last_end_s = 0.0
        self._most_rows = 1  # of all calls so far
        self._rows_per_request = 1.0

    @property
    def in_flight(self) -> int:
        """Requests that wait or run."""
        return sum(self._in_flight)

    def queue(self, waiter: W) -> None:
        """Let one in."""
        self.line.add(waiter)
        self._in_flight[waiter.level] += 1

    def leave(self, waiter: W) -> None:
        """Give up a place in the queue, if there still is one."""
        if self.line.remove(waiter):
            self._in_flight[waiter.level] -= 1

    def admit(
        self, contract: Contract, rows: int, *, level: int, deadline_s: float, now_s: float, slots: int
    ) -> Refusal | None:
        """Why a request that comes now is refused. One that finds a free slot and no queue never is."""
        if not self.line.count and len(self.running) < slots:
            return None
        ends = (max(0.0, call.expected_end_s - now_s) for call in self.running)
        load = Load(
            rows_ahead=self.line.rows_ahead(level, now_s=now_s, timeout_s=contract.timeout_s),
            queued_rows=self.line.rows,
            in_flight=self.in_flight,
            in_flight_ahead=sum(self._in_flight[: level + 1]),
            running_left_s=sum(ends) if len(self.running) >= slots else 0.0,
            slots=slots,
            limit=self.limit.value,
        )
        return refuse(
            self._costs(now_s),
            load,
            rows=rows,
            level=level,
            left_s=deadline_s - now_s,
            max_batch_rows=contract.max_batch_rows,
            max_queued_rows=contract.max_queued_rows,
        )

    def gathers(self, contract: Contract, now_s: float) -> bool:
        """Whether the next call waits another turn of the event loop for requests that are on their way."""
        gathering = self._gathering
        if not (self._is_gathering or gathering.has_company):
            return False
        costs = self._costs(now_s)
        is_large = self.line.rows >= costs.efficient_rows(EFFICIENT_SHARE, contract.max_batch_rows)
        if self._is_gathering:
            self._is_gathering = not is_large and gathering.goes_on(count=self.line.count, now_s=now_s)
        elif not is_large:
            first = next(self.line.in_order(contract.timeout_s))
            wait_s = min(costs.seconds(self.line.rows), _PATIENCE * (first.deadline_s - now_s))
            gathering.begin(count=self.line.count, until_s=now_s + wait_s)
            self._is_gathering = wait_s > 0
        return self._is_gathering

    def start(self, contract: Contract, now_s: float) -> tuple[Call[W] | None, list[W]]:
        """The next call, and those who would be late even alone."""
        costs = self._costs(now_s)
        most = contract.max_batch_rows
        if not self._known_costs.is_known:
            most = min(most, _FIRST_GROWTH * self._most_rows)
        members, late = take_batch(
            self.line,
            costs,
            now_s=now_s,
            timeout_s=contract.timeout_s,
            max_rows=most,
            max_bytes=_MAX_BATCH_BYTES,
        )
        for waiter in late:
            self._in_flight[waiter.level] -= 1
        if not members:
            return None, late
        rows = sum(waiter.rows for waiter in members)
        call = Call(members=members, rows=rows, started_s=now_s, expected_end_s=now_s + costs.seconds(rows))
        self.running.add(call)
        self._gathering.started(len(members))
        self._most_rows = max(self._most_rows, rows)
        return call, late

    def answered(self, contract: Contract, call: Call[W], *, now_s: float, slots: int) -> None:
        """Learn from a call that was answered; it is still running until `end`."""
        costs, requests = self._known_costs, len(call.members)
        costs.observe(call.rows, now_s - call.started_s)
        self._rows_per_request += _SMOOTHING * (call.rows / requests - self._rows_per_request)
        if not costs.is_known:
            return
        most = contract.max_batch_rows
        self.limit.update(
            sum(now_s - waiter.queued_s for waiter in call.members) / requests,
            target_s=target_s(costs, timeout_s=contract.timeout_s, max_batch_rows=most),
            in_flight=self.in_flight,
            lowest=floor(costs, slots=slots, rows_per_request=self._rows_per_request, max_batch_rows=most),
            highest=contract.max_queued_rows,
        )

    def given_up(self, call: Call[W], *, now_s: float) -> None:
        """Learn from a call that all its callers left, or that met its deadline."""
        self._known_costs.observe_at_least(call.rows, now_s - call.started_s)

    def end(self, call: Call[W], *, now_s: float) -> None:
        """A call no longer takes a slot."""
        self.running.discard(call)
        for waiter in call.members:
            self._in_flight[waiter.level] -= 1
        self._last_end_s = now_s

    def _costs(self, now_s: float) -> CostModel:
        """What is known, unless the lane has been idle so long that it may be true no more.

        Otherwise a version that was slow once would be sent nothing, and never be seen to be fast again.
        """
        if not self.running and now_s - self._last_end_s > _STALE_AFTER_S:
            return self._unknown_costs
        return self._known_costs
