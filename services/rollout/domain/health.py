"""The built-in look at every new version, as one more line of the evidence: does it answer, and usably?"""

from math import exp, log
from typing import Final

from services.rollout.domain.betting import log_mean_exp
from services.rollout.domain.case import health_alpha
from services.rollout.domain.explanation import counts_text
from services.rollout.domain.finding import Finding, Standing
from services.rollout.domain.harm import harm_of_arms, harm_of_bake, harm_of_shadow, log_e_of_shadow
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State
from services.rollout.domain.tally import Tally

NAME: Final = "health"


def find_health(position: Position, tally: Tally, policy: Policy) -> Finding:
    """Harm, or how far the rows of the step are: without enough of them nothing is known to be sound.

    Rows alone prove no quality: that is for the rules of the spec, and for the gate of retraining.
    """
    alpha, is_bake = health_alpha(policy), position.state is State.BAKE
    needed = policy.rollout.bake_rows if is_bake else policy.rollout.steps[position.step].min_rows
    harm = _harm(position, tally, policy, alpha=alpha)
    log_e = _log_e_value(position, tally)
    e_text = f"e-value {exp(min(log_e, 700.0)):.2g} of {1 / alpha:.4g}"
    counts = f"{_counts_text(position, tally)} of it, {e_text}"
    progress = f"{_progress_text(tally, needed, is_bake=is_bake)}; {counts}"
    standing = Standing.GATHERING
    if harm:
        standing = Standing.HARM
    elif _is_enough(tally, needed, is_bake=is_bake):
        standing = Standing.CLEAR
        progress = f"{progress}: no evidence of harm"
    return Finding(
        name=NAME,
        standing=standing,
        is_guardrail=True,
        samples=tally.step_rows,
        needed=needed,
        log_e_harm=log_e,
        log_harm_limit=-log(alpha),
        text=harm or progress,
    )


def _harm(position: Position, tally: Tally, policy: Policy, *, alpha: float) -> str:
    if position.state is State.BAKE:
        return harm_of_bake(tally, alpha=alpha)
    if position.state is State.SHADOW:
        return harm_of_shadow(tally, alpha=alpha)
    return harm_of_arms(tally, alpha=alpha, classes=len(policy.classes))


def _log_e_value(position: Position, tally: Tally) -> float:
    """Against a version with no arm beside it, or against the one beside the champion."""
    if position.state is State.BAKE:
        return max(log_mean_exp(tally.bake_log_ratios), log_mean_exp(tally.slow_log_ratios))
    if position.state is State.SHADOW:
        return log_e_of_shadow(tally)
    return log_mean_exp(tally.log_ratios)


def _counts_text(position: Position, tally: Tally) -> str:
    if position.state is not State.SHADOW:
        return counts_text(tally.canary)
    shadow = tally.shadow
    agreed = (
        f", {shadow.agreement:.1%} of {shadow.compared} rows as the champion's" if shadow.compared else ""
    )
    return f"{shadow.broken} failures in {shadow.requests} copies{agreed}"


def _progress_text(tally: Tally, needed: int, *, is_bake: bool) -> str:
    """How far a step has come."""
    rows = f"{tally.step_rows:,} of {needed:,} rows"
    return f"{rows} at 100 %" if is_bake else f"{rows}, {tally.step_canary_rows:,} of them by the new version"


def _is_enough(tally: Tally, needed: int, *, is_bake: bool) -> bool:
    """Enough rows, and at least one of the new version: a step it never answered in proves nothing."""
    return tally.step_rows >= needed and (is_bake or tally.step_canary_rows > 0 or needed == 0)
