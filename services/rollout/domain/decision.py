"""What the counts and the clock say about a live rollout: go on, stay, or take it back."""

from dataclasses import dataclass, field
from typing import Any

from services.rollout.domain.explanation import counts_text, no_harm_text, progress_text, summary
from services.rollout.domain.harm import harm_of_bake, harm_of_canary
from services.rollout.domain.observation import Observation
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import UPWARD, State, Trigger
from services.rollout.domain.tally import WHOLE_PPM, Tally
from slipway.spec_sections import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The move to make, and why."""

    trigger: Trigger
    reason: str
    step: int = -1
    weight_ppm: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)


def weight_of(policy: Rollout, step: int) -> int:
    """The canary's share in a step, in parts per million."""
    return max(1, round(policy.steps[step].weight_percent / 100 * WHOLE_PPM))


def when_ready(position: Position, policy: Rollout) -> Decision | None:
    """The move of a version whose replicas are ready; None: it is paused."""
    return _unless_paused(position, _decide_ready(position, policy))


def _decide_ready(position: Position, policy: Rollout) -> Decision:
    if position.is_restore:
        return Decision(trigger=Trigger.RESTORED, reason="the former champion is warm again")
    if position.champion is None:
        return Decision(
            trigger=Trigger.READY_FIRST,
            weight_ppm=WHOLE_PPM,
            reason="its replicas are ready; the model's first version takes all requests at once",
        )
    if not policy.steps:
        return Decision(
            trigger=Trigger.READY_FULL,
            weight_ppm=WHOLE_PPM,
            reason="its replicas are ready; the spec asks for no canary steps",
        )
    percent = policy.steps[0].weight_percent
    return Decision(
        trigger=Trigger.READY,
        step=0,
        weight_ppm=weight_of(policy, 0),
        reason=f"its replicas are ready; canary at {percent:g} %",
    )


def decide(position: Position, tally: Tally, policy: Rollout) -> Decision | None:
    """The move that the counts ask for; None: stay."""
    if position.state is State.CANARY:
        return _unless_paused(position, _decide_canary(position, tally, policy))
    if position.state is State.BAKE:
        return _unless_paused(position, _decide_bake(tally, policy))
    return None


def _unless_paused(position: Position, decision: Decision | None) -> Decision | None:
    """A pause stops the way up and nothing else: harm takes a paused version back (Flagger, issue 1801)."""
    is_stopped = decision is not None and position.paused_by != "" and decision.trigger in UPWARD
    return None if is_stopped else decision


def is_decisive(observation: Observation, position: Position, tally: Tally, policy: Rollout) -> bool:
    """Whether `decide` can say something after this record that it did not say before it.

    Good answers are evidence against harm, but for a canary that always gives the same one, so most
    records need no look.

    Args:
        observation: The record that was counted last.
        position: Of the live rollout.
        tally: The counts with it.
        policy: The spec's rollout section.
    """
    if observation.outcome != "good" or len(tally.canary.classes) == 1:
        return True
    if position.state is State.CANARY:
        return position.step >= len(policy.steps) or tally.step_rows >= policy.steps[position.step].min_rows
    return tally.step_rows >= policy.bake_rows


def when_not_warm(policy: Rollout, *, since_s: float, waiting_for: str) -> Decision | None:
    """The move of a version whose replicas are not ready yet."""
    if since_s <= policy.warm_deadline_s:
        return None
    return Decision(
        trigger=Trigger.DEADLINE,
        reason=f"not ready within rollout.warm_deadline_s = {policy.warm_deadline_s:g} s: {waiting_for}",
    )


def decide_overdue(position: Position, tally: Tally, policy: Rollout, *, since_s: float) -> Decision | None:
    """The move that the clock asks for: a step without enough rows is held, then given up.

    Args:
        position: Of a live rollout.
        tally: Its counts.
        policy: The spec's rollout section.
        since_s: How long the step has lasted while somebody watched.
    """
    if position.paused_by:  # the clock stands; `resume` lets it go on where it stood
        return None
    if position.state is State.CANARY and since_s > policy.deadline_s:
        percent = f"{position.weight_ppm / 10_000:g} %"
        return _overdue(
            f"{progress_text(position, tally, policy)} at {percent} within {policy.deadline_s:g} s", tally
        )
    if position.state is State.BAKE and since_s > policy.deadline_s:
        rows = f"{tally.step_rows} of {policy.bake_rows} rows at 100 %"
        return _overdue(f"{rows} within {policy.deadline_s:g} s", tally)
    return None


def _overdue(what: str, tally: Tally) -> Decision:
    return Decision(
        trigger=Trigger.DEADLINE,
        reason=f"{what}: too little to judge by is no pass; raise rollout.deadline_s or lower min_rows",
        evidence=summary(tally),
    )


def _decide_canary(position: Position, tally: Tally, policy: Rollout) -> Decision | None:
    if harm := harm_of_canary(tally, alpha=policy.alpha):
        return Decision(trigger=Trigger.GUARD_FAILED, reason=harm, evidence=summary(tally))
    following = position.step + 1
    if position.step < len(policy.steps) and not _is_passed(
        tally, min_rows=policy.steps[position.step].min_rows
    ):
        return None
    seen = no_harm_text(tally, policy, quality=position.quality)
    if following < len(policy.steps):
        percent = policy.steps[following].weight_percent
        return Decision(
            trigger=Trigger.STEP_PASSED,
            step=following,
            weight_ppm=weight_of(policy, following),
            reason=f"{seen}; canary at {percent:g} %",
            evidence=summary(tally),
        )
    return Decision(
        trigger=Trigger.STEPS_PASSED,
        weight_ppm=WHOLE_PPM,
        reason=f"{seen}; all requests, the old champion stays warm",
        evidence=summary(tally),
    )


def _is_passed(tally: Tally, *, min_rows: int) -> bool:
    """Enough rows, and at least one of the canary: a step it never answered in proves nothing."""
    return tally.step_rows >= min_rows and (tally.step_canary_rows > 0 or min_rows == 0)


def _decide_bake(tally: Tally, policy: Rollout) -> Decision | None:
    if harm := harm_of_bake(tally, alpha=policy.alpha):
        return Decision(trigger=Trigger.GUARD_FAILED, reason=harm, evidence=summary(tally))
    if tally.step_rows < policy.bake_rows:
        return None
    return Decision(
        trigger=Trigger.BAKED,
        weight_ppm=WHOLE_PPM,
        reason=f"{tally.step_rows} rows at 100 %, {counts_text(tally.canary)}; "
        f"e-value {tally.bake_e_value:.2g} of {1 / policy.alpha:g}",
        evidence=summary(tally),
    )
