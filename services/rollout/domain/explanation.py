"""Counts in plain words, and as values for the log."""

from typing import Any

from services.rollout.domain.arm_tally import ArmTally
from services.rollout.domain.tally import Tally


def counts_text(arm: ArmTally) -> str:
    """What went wrong with one arm."""
    parts = [f"{arm.failed} failures"]
    parts += [f"{arm.slow} slow"] if arm.slow else []
    parts += [f"{arm.malformed} malformed"] if arm.malformed else []
    return f"{', '.join(parts)} in {arm.requests} requests"


def summary(tally: Tally) -> dict[str, Any]:
    """The counts as they stand, for the log."""
    told = {
        "step_rows": tally.step_rows,
        "step_canary_rows": tally.step_canary_rows,
        "canary": _arm_summary(tally.canary),
        "champion": _arm_summary(tally.champion),
        "e_value": tally.e_value,
        "bake_e_value": tally.bake_e_value,
        "baseline": tally.baseline,
    }
    rivals = {rival.version: _arm_summary(rival.arm) for rival in tally.rivals}
    return {**told, "rivals": rivals} if rivals else told


def _arm_summary(arm: ArmTally) -> dict[str, Any]:
    return {
        "requests": arm.requests,
        "rows": arm.rows,
        "failed": arm.failed,
        "slow": arm.slow,
        "malformed": arm.malformed,
        "classes": dict(arm.classes),
    }
