"""What the counts and the clock say about a live rollout: go on, stay, or take it back."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.rollout.domain.entrance import entrance
from services.rollout.domain.explanation import summary
from services.rollout.domain.gates import closed_by
from services.rollout.domain.log_entry import WHOLE_PPM, Version
from services.rollout.domain.look import Look, gates_of, look, windows_of
from services.rollout.domain.moment import Moment
from services.rollout.domain.observation import Observation
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import READY_OF, STEP_OF, STEPS, State, Trigger
from services.rollout.domain.tally import Tally
from services.rollout.domain.verdict import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The move to make, and why.

    Attributes:
        subject: Who goes on; None: who was on its way before.
        rivals: Who stays beside it.
    """

    trigger: Trigger
    reason: str
    subject: Version | None = None
    rivals: tuple[Version, ...] = ()
    step: int = -1
    weight_ppm: int = 0
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)


def when_ready(position: Position, policy: Policy, at: Moment) -> Decision | None:
    """The move of a version whose replicas are ready; None: a gate is closed."""
    if position.is_restore:  # the way down: it waits for nobody
        return Decision(trigger=Trigger.RESTORED, reason="the former champion is warm again")
    if closed_by(gates_of(position, policy), windows_of(position, policy.rollout), now_s=at.now_s):
        return None
    return _decide_ready(position, policy)


def _decide_ready(position: Position, policy: Policy) -> Decision:
    if position.champion is None:
        return Decision(
            trigger=Trigger.READY_FIRST,
            weight_ppm=WHOLE_PPM,
            reason="its replicas are ready; the model's first version takes all requests at once",
        )
    first = len(policy.rollout.steps) if position.skips_steps else 0
    decision = _enter(position, policy, first, reason="its replicas are ready")
    if position.skips_steps:
        window = policy.rollout.rollback_window
        why = f"it was champion lately (rollback_window {window}), so no step proves it anew"
        return replace(decision, reason=f"{why}; {decision.reason}")
    return decision


def _enter(
    position: Position, policy: Policy, index: int, *, reason: str, winner: Version | None = None
) -> Decision:
    """Into the step of that index, or into the bake where none is left."""
    rivals = () if winner else position.rivals
    place = entrance(policy.rollout, index, rivals=len(rivals))
    if place.state is State.BAKE:
        ways = {State.WARMING: Trigger.READY_FULL}
        trigger = ways.get(position.state, Trigger.STEPS_PASSED)
        rivals = ()
    else:
        trigger = (READY_OF if position.state is State.WARMING else STEP_OF)[place.state]
    return Decision(
        trigger=trigger,
        reason=f"{reason}; {place.text}",
        subject=winner or position.subject,
        rivals=rivals,
        step=place.step,
        weight_ppm=place.weight_ppm,
        mirror_ppm=place.mirror_ppm,
        max_mirrored_per_s=place.max_mirrored_per_s,
    )


def when_not_warm(policy: Policy, *, since_s: float, waiting_for: str) -> Decision | None:
    """The move of a version whose replicas are not ready yet."""
    limit_s = policy.rollout.warm_deadline_s
    if since_s <= limit_s:
        return None
    return Decision(
        trigger=Trigger.DEADLINE,
        reason=f"not ready within rollout.warm_deadline_s = {limit_s:g} s: {waiting_for}",
    )


def decide(position: Position, tally: Tally, policy: Policy, at: Moment) -> Decision | None:
    """The move that the evidence, the clock and the gates ask for; None: stay."""
    if position.state not in STEPS and position.state is not State.BAKE:
        return None
    seen = look(position, tally, policy, at)
    decision = _decide(position, policy, seen)
    return decision and replace(decision, evidence=evidence_of(tally, seen))


def _decide(position: Position, policy: Policy, seen: Look) -> Decision | None:
    outcome, reason = seen.verdict.outcome, seen.verdict.reason
    if outcome is Outcome.ROLL_BACK:
        return Decision(trigger=Trigger.GUARD_FAILED, reason=reason)
    contest = seen.contest
    if contest and contest.is_decided and contest.winner is None:
        why = (
            f"no new version is better than the champion, and inconclusive is no pass: {contest.finding.text}"
        )
        return Decision(trigger=Trigger.NO_WINNER, reason=why)
    if outcome is Outcome.GIVE_UP:
        has_samples = contest is not None and contest.finding.samples >= contest.finding.needed
        return Decision(trigger=Trigger.NO_WINNER if has_samples else Trigger.DEADLINE, reason=reason)
    if outcome is not Outcome.ADVANCE:
        return None
    if position.state is State.BAKE:
        return Decision(trigger=Trigger.BAKED, weight_ppm=WHOLE_PPM, reason=reason)
    said = f"{reason}; {position.quality}" if position.quality else reason
    return _enter(
        position, policy, position.step + 1, reason=said, winner=contest.winner if contest else None
    )


def evidence_of(tally: Tally, seen: Look) -> dict[str, Any]:
    """Counts and findings, for the log."""
    lines = [{**asdict(line), "standing": str(line.standing)} for line in seen.verdict.findings]
    return {**summary(tally), "findings": lines}


def is_decisive(observation: Observation, position: Position, tally: Tally, policy: Policy) -> bool:
    """Whether `decide` has to look at this record by itself, before those that follow.

    Good answers are evidence against harm, but for a canary that always gives the same one, so most
    records need no look before the end of their batch: all evidence may be read at any time.

    Args:
        observation: The record that was counted last.
        position: Of the live rollout.
        tally: The counts with it.
        policy: Of the rollout.
    """
    if observation.outcome != "good" or len(tally.canary.classes) == 1:
        return True
    if position.state is State.BAKE:
        return tally.step_rows >= policy.rollout.bake_rows
    min_rows = policy.rollout.steps[position.step].min_rows
    is_by_rows = position.state is not State.AB and not policy.rules_of(position.step)
    return is_by_rows and tally.step_rows >= min_rows
