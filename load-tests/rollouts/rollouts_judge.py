"""From what the client saw and the log says to the figures."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import goals
from outcome import Figure, figure, not_measured

WITHIN_S: Final = 1.0

Answer = tuple[float, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision, and how long it took until nobody saw the other side of it.

    Attributes:
        kind: `abort`, `rollback`, `guard`, or `switch`.
        last_answer_s: From the log entry's time to the last answer of the version that had to go.
        workers_s: The same until each gateway worker had the new routes; empty where nobody looked.
    """

    kind: str
    last_answer_s: float
    workers_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The live part of a run."""

    capacity_per_s: float
    asked_per_s: float
    answered: int
    failures: dict[str, int]
    not_sent: int
    rounds: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """Many rollouts at once, in one situation.

    Attributes:
        stuck: Rollouts beside them whose replicas nobody can tell of.
        delays_s: From the moment at which a decision was possible to its log entry, by kind.
    """

    models: int
    stuck: int
    delays_s: dict[str, tuple[float, ...]]

    def longest_s(self) -> float:
        """Over all kinds."""
        return max(max(delays) for delays in self.delays_s.values())


def last_answer_s(
    answers: Sequence[Answer], version: str, *, decided_s: float, until_s: float = inf
) -> float:
    """How long after a decision a version still answered; 0 where it did not.

    Args:
        answers: In the order of their times.
        version: That had to go.
        decided_s: The log entry's time.
        until_s: What comes later has another cause.
    """
    for at_s, by, _ in reversed(answers):
        if at_s <= decided_s:
            break
        if by == version and at_s < until_s:
            return at_s - decided_s
    return 0.0


def figures_of(live: Live | None, many: Sequence[Many]) -> list[Figure]:
    """All figures that are aimed at."""
    return [*_live_figures(live), _many_figure(many)]


def _live_figures(live: Live | None) -> list[Figure]:
    if live is None:
        wanted = (goals.ROLLOUT_BACK, goals.ROLLOUT_FAILED, goals.ROLLOUT_SWITCH)
        return [not_measured(it.title, it.bound) for it in wanted]
    back = [c.last_answer_s for c in live.changes if c.kind != "switch"]
    seen = [max(c.last_answer_s, *c.workers_s) for c in live.changes if c.kind == "switch" and c.workers_s]
    failed, is_enough = sum(live.failures.values()), live.rounds >= goals.ROLLOUT_ROUNDS
    return [
        figure(goals.ROLLOUT_BACK, _longest(back), is_met=_within(back)),
        figure(
            goals.ROLLOUT_FAILED,
            f"{failed} in {live.rounds} rollouts and rollbacks",
            is_met=failed == 0 if is_enough or failed else None,
        ),
        figure(goals.ROLLOUT_SWITCH, _longest(seen), is_met=_within(seen)),
    ]


def _many_figure(many: Sequence[Many]) -> Figure:
    beside = [it for it in many if it.stuck]
    if not beside:
        return not_measured(goals.ROLLOUT_MANY.title, goals.ROLLOUT_MANY.bound)
    worst = max(it.longest_s() for it in beside)
    calm = max((it.longest_s() for it in many if not it.stuck), default=float("nan"))
    return figure(
        goals.ROLLOUT_MANY, f"{worst:.2f} s; {calm:.2f} s with none stuck", is_met=worst <= WITHIN_S
    )


def _within(seconds: Sequence[float]) -> bool | None:
    return max(seconds) <= WITHIN_S if seconds else None


def _longest(seconds: Sequence[float]) -> str:
    if not seconds:
        return "not measured"
    return f"{max(seconds):.2f} s, median {statistics.median(seconds):.2f} s, {len(seconds)} times"


def page(live: Live | None, many: Sequence[Many]) -> list[str]:
    """The run in Markdown."""
    return [*(_live_lines(live) if live else []), *_many_lines(many)]


def _live_lines(live: Live) -> list[str]:
    failed = ", ".join(f"{code} {count:,}" for code, count in sorted(live.failures.items())) or "none"
    lines = [
        f"Capacity by a closed loop: {live.capacity_per_s:,.0f} answers/s. Asked with "
        f"{live.asked_per_s:,.0f}/s in an open loop, {live.answered:,} answers; failed: {failed}; not sent "
        f"because too many were in flight: {live.not_sent:,}.",
        "",
        "| decision | times | until the last answer of the version that had to go: median, longest | "
        "until every gateway worker had the routes: longest |",
        "|---|---|---|---|",
    ]
    for kind in dict.fromkeys(change.kind for change in live.changes):
        own = [change for change in live.changes if change.kind == kind]
        last = [change.last_answer_s for change in own]
        workers = [seconds for change in own for seconds in change.workers_s]
        told = f"{max(workers):.2f} s" if workers else "-"
        lines.append(f"| {kind} | {len(own)} | {statistics.median(last):.2f} s, {max(last):.2f} s | {told} |")
    return [*lines, ""]


def _many_lines(many: Sequence[Many]) -> list[str]:
    if not many:
        return []
    lines = ["| rollouts | stuck beside them | decision | median | longest |", "|---|---|---|---|---|"]
    for it in many:
        for kind, delays in it.delays_s.items():
            seen = f"{statistics.median(delays):.2f} s | {max(delays):.2f} s"
            lines.append(f"| {it.models} | {it.stuck} | {kind} | {seen} |")
    return lines
