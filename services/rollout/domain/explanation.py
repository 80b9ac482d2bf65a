"""A rollout in plain words."""

from typing import Any

from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State
from services.rollout.domain.tally import ArmTally, Tally
from slipway.spec_sections import Rollout


def explain(position: Position, tally: Tally, policy: Rollout) -> str:
    """The live rollout in plain words: step, evidence, what comes next."""
    told = _explain(position, tally, policy)
    return f"paused by {position.paused_by}; {told}" if position.paused_by else told


def _explain(position: Position, tally: Tally, policy: Rollout) -> str:
    limit = f"of {1 / policy.alpha:g}"
    if position.state is State.WARMING:
        return f"warming: waiting for its replicas, {policy.warm_deadline_s:g} s at the most"
    if position.state is State.BAKE:
        return (
            f"at 100 %, {tally.step_rows} of {policy.bake_rows} rows, {counts_text(tally.canary)}, "
            f"e-value {tally.bake_e_value:.2g} {limit}; next: done; the old champion is warm"
        )
    following = position.step + 1
    is_last = following >= len(policy.steps)
    then = "100 %" if is_last else f"{policy.steps[following].weight_percent:g} %"
    return (
        f"canary at {position.weight_ppm / 10_000:g} %: {progress_text(position, tally, policy)}; "
        f"{counts_text(tally.canary)} of it, e-value {tally.e_value:.2g} {limit}; next: {then}"
    )


def no_harm_text(tally: Tally, policy: Rollout, *, quality: str) -> str:
    """What a passed step has shown, and what it has not."""
    said = f"; {quality}" if quality else ""
    limit = f"{1 / policy.alpha:g}"
    return (
        f"{tally.step_rows} rows in the step, {tally.step_canary_rows} by the canary; "
        f"so far {counts_text(tally.canary)}: no evidence of harm "
        f"(e-value {tally.e_value:.2g} of {limit}){said}"
    )


def progress_text(position: Position, tally: Tally, policy: Rollout) -> str:
    """How far a canary step has come."""
    needed = policy.steps[position.step].min_rows if position.step < len(policy.steps) else 0
    return f"{tally.step_rows} of {needed} rows, {tally.step_canary_rows} of them by the canary"


def counts_text(arm: ArmTally) -> str:
    """What went wrong with one arm."""
    parts = [f"{arm.failed} failures"]
    parts += [f"{arm.slow} slow"] if arm.slow else []
    parts += [f"{arm.malformed} malformed"] if arm.malformed else []
    return f"{', '.join(parts)} in {arm.requests} requests"


def summary(tally: Tally) -> dict[str, Any]:
    """The counts as they stand, for the log."""
    return {
        "step_rows": tally.step_rows,
        "step_canary_rows": tally.step_canary_rows,
        "canary": _arm_summary(tally.canary),
        "champion": _arm_summary(tally.champion),
        "e_value": tally.e_value,
        "bake_e_value": tally.bake_e_value,
        "baseline": tally.baseline,
    }


def _arm_summary(arm: ArmTally) -> dict[str, Any]:
    return {
        "requests": arm.requests,
        "rows": arm.rows,
        "failed": arm.failed,
        "slow": arm.slow,
        "malformed": arm.malformed,
        "classes": dict(arm.classes),
    }
