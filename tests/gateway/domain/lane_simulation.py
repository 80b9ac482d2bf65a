"""A lane, its callers and its version as one pure simulation: no tasks, no sleep, time moved by hand."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.lane_policy import Call, LanePolicy
from slipway.clock import ManualClock
from slipway.spec import parse

Cost = Callable[[int, float], float]  # seconds of a call, by its rows and the time


def contract(serving: str) -> Contract:
    return contract_of(
        parse(
            "name: m\ntask: regression\nfeatures: [{name: x}]\nlabel: {name: y}\n"
            f"serving: {{{serving}}}\n"
        )
    )


@dataclass(slots=True, eq=False, kw_only=True)
class Caller:
    rows: int
    level: int
    queued_s: float
    deadline_s: float
    size_bytes: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Callers of one kind, coming by chance at a mean rate, from a time to a time."""

    per_s: float
    start_s: float
    end_s: float
    within_s: float = 2.0
    rows: int = 1
    level: int = 2


@dataclass(kw_only=True)
class Outcome:
    """What became of the callers; `answers` are (caller, when) in time."""

    answers: list[tuple[Caller, float]] = field(default_factory=list)
    late: int = 0
    unsent: int = 0
    refused: Counter[tuple[str, int]] = field(default_factory=Counter)
    refused_s: list[float] = field(default_factory=list)
    limits: list[tuple[float, float]] = field(default_factory=list)
    calls: list[tuple[float, int]] = field(default_factory=list)

    def rate(self, start_s: float, end_s: float, *, level: int | None = None) -> float:
        """Rows answered in time, each second."""
        rows = sum(c.rows for c, at_s in self.answers if start_s <= at_s < end_s and level in (None, c.level))
        return rows / (end_s - start_s)

    def latencies_s(self, start_s: float, end_s: float, *, level: int | None = None) -> list[float]:
        return sorted(
            at_s - c.queued_s
            for c, at_s in self.answers
            if start_s <= c.queued_s < end_s and level in (None, c.level)
        )

    def refusals(self, start_s: float, end_s: float) -> int:
        return sum(start_s <= at_s < end_s for at_s in self.refused_s)


@dataclass(kw_only=True)
class Simulation:
    """Runs streams of callers against a version with so many slots."""

    contract: Contract
    cost: Cost
    slots: int = 1
    seed: int = 1
    clock: ManualClock = field(default_factory=lambda: ManualClock(0.0))
    outcome: Outcome = field(default_factory=Outcome)
    start_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.policy: LanePolicy[Caller] = LanePolicy()
        self._ends: list[tuple[float, int, Call[Caller]]] = []

    def run(self, *streams: Stream) -> Outcome:
        arrivals = heapq.merge(
            *(_arrivals(s, Random(self.seed + n)) for n, s in enumerate(streams)), key=_when
        )
        for caller in arrivals:
            self._until(caller.queued_s)
            self._arrive(caller)
        self._until(float("inf"))
        return self.outcome

    def _until(self, time_s: float) -> None:
        while self._ends and self._ends[0][0] <= time_s:
            end_s, _, call = heapq.heappop(self._ends)
            self.clock.advance(end_s - self.clock.monotonic_s())
            self._end(call)
        if time_s < float("inf"):
            self.clock.advance(time_s - self.clock.monotonic_s())

    def _arrive(self, caller: Caller) -> None:
        refusal = self.policy.admit(
            self.contract,
            caller.rows,
            level=caller.level,
            deadline_s=caller.deadline_s,
            now_s=caller.queued_s,
            slots=self.slots,
        )
        if refusal is None:
            self.policy.queue(caller)
            self._dispatch()
        else:
            self.outcome.refused[refusal.reason, caller.level] += 1
            self.outcome.refused_s.append(caller.queued_s)

    def _dispatch(self) -> None:
        now_s = self.clock.monotonic_s()
        while self.policy.line.count and len(self.policy.running) < self.slots:
            call, late = self.policy.start(self.contract, now_s)
            self.outcome.unsent += len(late)
            if call is not None:
                self.outcome.calls.append((now_s, call.rows))
                seconds = self.cost(call.rows, now_s)
                heapq.heappush(self._ends, (now_s + seconds, len(self.outcome.calls), call))

    def _end(self, call: Call[Caller]) -> None:
        now_s = self.clock.monotonic_s()
        self.policy.answered(self.contract, call, now_s=now_s, slots=self.slots)
        self.policy.end(call, now_s=now_s)
        self.outcome.limits.append((now_s, self.policy.limit.value))
        for caller in call.members:
            if now_s <= caller.deadline_s:
                self.outcome.answers.append((caller, now_s))
            else:
                self.outcome.late += 1
        self._dispatch()


def _arrivals(stream: Stream, rng: Random) -> Iterator[Caller]:
    time_s = stream.start_s
    while (time_s := time_s + rng.expovariate(stream.per_s)) < stream.end_s:
        yield Caller(
            rows=stream.rows, level=stream.level, queued_s=time_s, deadline_s=time_s + stream.within_s
        )


def _when(caller: Caller) -> float:
    return caller.queued_s
