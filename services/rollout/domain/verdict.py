"""From the lines of the evidence table to one word: take back, hold, wait, advance, give up."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.rollout.domain.finding import Finding, Standing


class Outcome(StrEnum):
    """What to do with the version now."""

    ROLL_BACK = "roll_back"
    HOLD = "hold"  # something speaks against going on, or nothing at all is known
    WAIT = "wait"  # evidence is coming in
    ADVANCE = "advance"
    GIVE_UP = "give_up"  # the deadline came before the proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A step's times.

    Attributes:
        dwell_left_s: Until the step may end at the earliest.
        deadline_left_s: Until it is given up; 0 or less: now.
    """

    dwell_left_s: float = 0.0
    deadline_left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome, why, and the table it rests on."""

    outcome: Outcome
    reason: str
    findings: tuple[Finding, ...]


def judge(rules: Sequence[Finding], checks: Sequence[Finding], *, clock: Clock) -> Verdict:
    """Decide by the rules and the checks.

    Harm on a guardrail takes back at any moment. Going on needs every enforced rule and every check to pass:
    no data, no rule, a signal's harm or a broken split all hold, and what holds to the deadline is given up.

    Args:
        rules: One finding per rule.
        checks: Of the comparison itself: sample ratio, label coverage.
        clock: The step's times.
    """
    table = (*rules, *checks)
    enforced = [f for f in rules if not f.is_dry_run]
    harmful = [f for f in enforced if f.standing is Standing.HARM and f.is_guardrail]
    if harmful:
        return Verdict(outcome=Outcome.ROLL_BACK, reason=_texts(harmful), findings=table)
    open_lines = [f for f in (*enforced, *checks) if not f.passes]
    if enforced and not open_lines and clock.dwell_left_s <= 0:
        return Verdict(outcome=Outcome.ADVANCE, reason=_texts(enforced), findings=table)
    outcome, reason = _held(enforced, open_lines, clock)
    if clock.deadline_left_s <= 0:
        return Verdict(
            outcome=Outcome.GIVE_UP,
            reason=f"the deadline passed without proof: {reason}; too little to judge by is no pass",
            findings=table,
        )
    return Verdict(outcome=outcome, reason=reason, findings=table)


def _held(enforced: Sequence[Finding], open_lines: Sequence[Finding], clock: Clock) -> tuple[Outcome, str]:
    against = [f for f in open_lines if f.standing is Standing.HARM]
    if not enforced:
        return Outcome.HOLD, "no rule is enforced, so nothing can prove the version"
    if against:
        return Outcome.HOLD, _texts(against)
    if all(f.samples == 0 for f in enforced):
        return Outcome.HOLD, f"no data: {_texts(open_lines)}"
    if open_lines:
        return Outcome.WAIT, _texts(open_lines)
    return Outcome.WAIT, f"{_texts(enforced)}; the step lasts {clock.dwell_left_s:.0f} s more"


def _texts(findings: Sequence[Finding]) -> str:
    return "; ".join(f.text for f in findings)


def status_text(verdict: Verdict, *, position: str, clock: Clock) -> str:
    """The rollout in one line.

    Args:
        verdict: Of now.
        position: Where the version stands, such as `canary 5 %`.
        clock: The step's times.
    """
    now = {
        Outcome.ROLL_BACK: "taken back now",
        Outcome.GIVE_UP: "given up now",
        Outcome.ADVANCE: "next step now",
    }
    dwell_s, deadline_s = max(0.0, clock.dwell_left_s), max(0.0, clock.deadline_left_s)
    soonest = f"in {dwell_s:.0f} s at the earliest" if dwell_s else "as soon as this passes"
    following = now.get(verdict.outcome, f"next step {soonest}, given up in {deadline_s:.0f} s")
    return f"{position}, {verdict.outcome}: {verdict.reason}; {following}"
