"""A live rollout at one moment: the lines of its evidence, its clock, its gates, and what follows."""

from dataclasses import dataclass
from typing import Final

from services.rollout.domain.case import Findings, findings
from services.rollout.domain.contest import Contest, judge_contest
from services.rollout.domain.finding import Finding
from services.rollout.domain.gates import FreezeWindow, Gates, closed_by, through_gates
from services.rollout.domain.health import find_health
from services.rollout.domain.moment import Moment, clock_of
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import STEPS, State
from services.rollout.domain.tally import Tally, arms_seen
from services.rollout.domain.verdict import Clock, Verdict, judge, status_text
from slipway.spec_sections import Rollout

_HOUR_MINUTES: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is to be done with the version now, and why.

    Attributes:
        closed_by: Pauses, freeze windows and missing approvals before the next step, in words; empty: none.
        contest: How an A/B step stands.
    """

    verdict: Verdict
    clock: Clock
    closed_by: str = ""
    contest: Contest | None = None


def look(position: Position, tally: Tally, policy: Policy, at: Moment) -> Look:
    """Judge a rollout in a step or in the bake."""
    clock, found = clock_of(position, policy, at), lines_of(position, tally, policy)
    gates, windows = gates_of(position, policy), windows_of(position, policy.rollout)
    verdict = judge(found.asked, found.checks, clock=clock)
    return Look(
        verdict=through_gates(verdict, gates, windows, now_s=at.now_s),
        clock=clock,
        closed_by=closed_by(gates, windows, now_s=at.now_s),
        contest=found.contest,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The evidence table of a step or of the bake.

    Attributes:
        asked: The version's health, the rules of the step, and how an A/B step stands: each must pass.
        checks: Of the comparison itself.
    """

    asked: tuple[Finding, ...]
    checks: tuple[Finding, ...]
    contest: Contest | None = None


def lines_of(position: Position, tally: Tally, policy: Policy) -> Lines:
    """What is known of a version in a step or in the bake."""
    found = findings(tally, policy, position) if position.state in STEPS else Findings()
    contest = _contest(position, tally, policy) if position.state is State.AB else None
    asked = (find_health(position, tally, policy), *found.rules)
    return Lines(asked=(*asked, contest.finding) if contest else asked, checks=found.checks, contest=contest)


def gates_of(position: Position, policy: Policy) -> Gates:
    """What people put between the present step and the next one."""
    role = policy.rollout.steps[position.step].approval if position.state in STEPS else ""
    return Gates(
        approval_role=role,
        approved_by=position.approved_by,
        paused_by=position.paused_by,
        pause_reason=position.pause_reason,
    )


def windows_of(position: Position, rollout: Rollout) -> tuple[FreezeWindow, ...]:
    """The times in which the version goes no step further; the end of a bake moves nobody."""
    if position.state is State.BAKE:
        return ()
    return tuple(
        FreezeWindow(
            name=freeze.name,
            days=freeze.days,
            from_minute=int(freeze.start[:2]) * _HOUR_MINUTES + int(freeze.start[3:]),
            minutes=freeze.minutes,
        )
        for freeze in rollout.freeze
    )


def _contest(position: Position, tally: Tally, policy: Policy) -> Contest:
    assert position.subject is not None
    assert position.champion is not None
    return judge_contest(
        {version: arm.moments for version, arm in arms_seen(tally).items()},
        (position.subject, *position.rivals),
        control=position.champion.version,
        step=policy.rollout.steps[position.step],
        alpha=policy.rollout.alpha,
    )


def explain(position: Position, tally: Tally, policy: Policy, at: Moment) -> str:
    """The live rollout in one line: step, evidence, what comes next."""
    if position.state is State.WARMING:
        return _explain_warming(position, policy, at)
    seen = look(position, tally, policy, at)
    place, verdict = place_text(position), seen.verdict
    if seen.closed_by and seen.closed_by in verdict.reason:  # it has passed, and a gate holds it
        return f"{place}, {verdict.outcome}: {verdict.reason}; next step once that is lifted"
    told = status_text(verdict, position=place, clock=seen.clock)
    return f"{seen.closed_by}; {told}" if seen.closed_by else told


def place_text(position: Position) -> str:
    """Where a version in a step or in the bake stands: `canary 5 %`."""
    share = f"{position.weight_ppm / 10_000:g} %"
    words = {
        State.SHADOW: f"shadow {position.mirror_ppm / 10_000:g} %",
        State.CANARY: f"canary {share}",
        State.AB: f"A/B {share} for each of {1 + len(position.rivals)}",
        State.BAKE: "bake 100 %, the old champion warm",
    }
    return words[position.state]


def _explain_warming(position: Position, policy: Policy, at: Moment) -> str:
    closed = closed_by(gates_of(position, policy), windows_of(position, policy.rollout), now_s=at.now_s)
    left_s = max(0.0, clock_of(position, policy, at).deadline_left_s)
    told = f"warming: waiting for its replicas, {left_s:.0f} s more at the most"
    return f"{closed}; {told}" if closed else told
