"""What happened in a rollout: its legs with what was known at the end of each, and what that proves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from slipway import spec
from slipway.errors import InvalidInput
from slipway.spec_rollout import LATE_METRICS
from slipway.spec_sections import Rule
from slipway.v1.rollout_pb2 import Finding, RolloutEvent, RolloutReport

_IN_PLACE: Final = frozenset({"pause", "resume", "approve", "reconcile"})
_ENDS: Final = frozenset({"DONE", "ABORTED", "ROLLED_BACK"})
_JUDGED: Final = "the gate has judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One stretch between two transitions: warming, a step, the bake.

    Attributes:
        ended_s: None while it lasts.
        notes: What people did in it: pauses, approvals.
        findings: The last ones that were kept of it.
    """

    state: str
    step: int
    weight_ppm: int
    began_s: float
    ended_s: float | None
    entered_because: str
    left_because: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def is_judged(self) -> bool:
        """Whether rules speak here: in a step."""
        return self.step >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A rollout in words.

    Attributes:
        outcome: promoted, taken back, under way.
        cause: The reason of the last transition.
        quality: What was known of the version's quality when it began.
        proven: Sentences that the evidence carries.
        not_proven: Sentences that nobody may read into it.
    """

    outcome: str
    started_by: str
    reason: str
    cause: str
    quality: str
    legs: tuple[Leg, ...]
    proven: tuple[str, ...]
    not_proven: tuple[str, ...]


def tell(report: RolloutReport) -> Story:
    """The story of a report."""
    legs = tuple(_legs(report))
    first = report.events[0] if report.events else RolloutEvent()
    last = report.events[-1] if report.events else RolloutEvent()
    quality = str(evidence_of(first).get("quality", ""))
    rules = _rules(report.yaml)
    return Story(
        outcome=_outcome(report, last),
        started_by=first.actor,
        reason=first.reason,
        cause=last.reason,
        quality=quality,
        legs=legs,
        proven=tuple(_proven(legs, rules, quality=quality)),
        not_proven=tuple(_not_proven(legs, rules, quality=quality)),
    )


def evidence_of(event: RolloutEvent) -> dict[str, Any]:
    """What an entry rests on; empty where it says nothing that can be read."""
    try:
        read = orjson.loads(event.evidence or "{}")
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _outcome(report: RolloutReport, last: RolloutEvent) -> str:
    state = report.state or last.to_state
    if state not in _ENDS:
        return "under way"
    return "promoted" if state == "DONE" or last.trigger == "restored" else "taken back"


def _legs(report: RolloutReport) -> Iterator[Leg]:
    moves = [event for event in report.events if event.trigger not in _IN_PLACE]
    for at, event in enumerate(moves):
        if event.to_state in _ENDS:
            continue
        following = moves[at + 1] if at + 1 < len(moves) else None
        ended_s = _seconds(following) if following else None
        until_s = float("inf") if ended_s is None else ended_s
        yield Leg(
            state=event.to_state,
            step=event.step,
            weight_ppm=event.weight_ppm,
            began_s=_seconds(event),
            ended_s=ended_s,
            entered_because=event.reason,
            left_because=following.reason if following else "",
            notes=tuple(_notes(report.events, after_seq=event.seq, before=following)),
            findings=_last_findings(report, event, until_s=until_s),
        )


def _notes(events: Sequence[RolloutEvent], *, after_seq: int, before: RolloutEvent | None) -> Iterator[str]:
    for event in events:
        is_here = event.seq > after_seq and (before is None or event.seq < before.seq)
        if is_here and event.trigger in _IN_PLACE and event.trigger != "reconcile":
            yield f"{event.trigger} by {event.actor}" + (f": {event.reason}" if event.reason else "")


def _last_findings(report: RolloutReport, entered: RolloutEvent, *, until_s: float) -> tuple[Finding, ...]:
    began_s = _seconds(entered)
    own = [
        point
        for point in report.points
        if point.step == entered.step and began_s <= point.at.ToMicroseconds() / 1e6 <= until_s
    ]
    return tuple(own[-1].findings) if own else ()


def _proven(legs: Sequence[Leg], rules: Mapping[str, Rule], *, quality: str) -> Iterator[str]:
    for leg, finding in _lines(legs):
        rule = rules.get(finding.name)
        if finding.standing == "proven":
            yield f"{_place(leg)}: {_kind(rule)} is no worse by the margin: {finding.text}"
        elif finding.standing == "clear":
            yield f"{_place(leg)}: no harm was seen in {finding.samples:,} samples: {finding.text}"
        elif finding.standing == "harm":
            yield f"{_place(leg)}: harm: {finding.text}"
    if quality.startswith(_JUDGED):
        yield f"Before the rollout {quality}."


def _not_proven(legs: Sequence[Leg], rules: Mapping[str, Rule], *, quality: str) -> Iterator[str]:
    lines = list(_lines(legs))
    yield _quality_sentence([finding for _, finding in lines], rules, quality=quality)
    for leg, finding in lines:
        if finding.standing == "clear" and finding.name in rules:
            yield (
                f"{_place(leg)}: {finding.name} asked for no proof: that it is harmless was not shown, "
                "only that nothing spoke against it."
            )
        elif finding.standing == "gathering":
            yield f"{_place(leg)}: {finding.name} was still open: {finding.text}"
    if any(leg.is_judged and not leg.findings for leg in legs):
        yield "No evidence was kept of at least one step: its rows and its own guards are all that is known."


def _quality_sentence(findings: Sequence[Finding], rules: Mapping[str, Rule], *, quality: str) -> str:
    proven = {f.name for f in findings if f.standing == "proven"}
    late = {name for name in proven & set(rules) if rules[name].metric in LATE_METRICS}
    pairs = {name for name in late if rules[name].paired}
    if pairs:
        return (
            f"Quality ({', '.join(sorted(pairs))}) was proven on pairs, both versions on the same requests; "
            "what users do with the answers, pairs do not say."
        )
    if late:
        return f"Quality ({', '.join(sorted(late))}) was proven on labels of both arms, for that metric only."
    if quality.startswith(_JUDGED):
        return (
            "Quality was judged on pairs by the gate of retraining, on the same held-out rows as the "
            "champion; the canary of this rollout proves health only: no failures, no slow answers beyond "
            "the champion's."
        )
    said = f" ({quality})" if quality else ""
    return f"Quality was not proven by anybody{said}: this rollout speaks of health only."


def _lines(legs: Sequence[Leg]) -> Iterator[tuple[Leg, Finding]]:
    for leg in legs:
        for finding in leg.findings:
            yield leg, finding


def _kind(rule: Rule | None) -> str:
    if rule is None:
        return "the version"
    return f"{rule.metric}, on pairs," if rule.paired else rule.metric


def _place(leg: Leg) -> str:
    return f"step {leg.step + 1} ({leg.state.lower()})" if leg.is_judged else leg.state.lower()


def _rules(yaml: str) -> dict[str, Rule]:
    """The rules of the spec; none where a later release cannot read it any more."""
    try:
        return {rule.name: rule for rule in spec.parse(yaml).rollout.rules}
    except InvalidInput:
        return {}


def _seconds(event: RolloutEvent) -> float:
    return event.at.ToMicroseconds() / 1e6
