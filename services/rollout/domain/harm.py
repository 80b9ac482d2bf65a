"""When the new version is taken back."""

from collections.abc import Iterator
from math import exp, log
from typing import Final

from services.rollout.domain import evidence, single_class
from services.rollout.domain.arm_tally import ArmTally
from services.rollout.domain.evidence import LogRatios
from services.rollout.domain.explanation import counts_text
from services.rollout.domain.tally import TOLERATED_BAD_SHARE, TOLERATED_SLOW_SHARE, Tally

# A canary that does nothing but fail is taken back before any statistics.
ONLY_FAILURES: Final = 5
# Outside of `alpha` and stricter, as the checks of the comparison are.
SINGLE_CLASS_ALPHA: Final = 0.001


def harm_of_arms(tally: Tally, *, alpha: float, classes: int) -> str:
    """Why the new versions beside the champion are to be taken back; empty: no evidence of harm.

    Args:
        tally: The counts.
        alpha: Of the whole look; in an A/B step each version has an equal part (union bound).
        classes: How many classes the model has; 0 for regressors.
    """
    return next(filter(None, _harms(tally, alpha=alpha, classes=classes)), "")


def _harms(tally: Tally, *, alpha: float, classes: int) -> Iterator[str]:
    part = alpha / (1 + len(tally.rivals))
    yield _harm_of_arm(tally.canary, tally.champion, tally.log_ratios, alpha=part)
    for rival in tally.rivals:
        harm = _harm_of_arm(rival.arm, tally.champion, rival.log_ratios, alpha=part)
        yield harm and f"version {rival.version}: {harm}"
    # It has evidence here only after a step of 100 %.
    yield harm_of_bake(tally, alpha=alpha)
    yield _single_class(tally, classes=classes)


def _harm_of_arm(arm: ArmTally, champion: ArmTally, log_ratios: LogRatios, *, alpha: float) -> str:
    if arm.requests >= ONLY_FAILURES and arm.broken == arm.requests:
        return f"every one of its {arm.requests} requests failed ({_faults_text(arm)})"
    e_value = evidence.e_value(log_ratios)
    if e_value < 1 / alpha:
        return ""
    return (
        f"{_faults_text(arm)}, beside the champion's {counts_text(champion)}: "
        f"e-value {e_value:.3g} reached {1 / alpha:g}"
    )


def _faults_text(arm: ArmTally) -> str:
    return f"{counts_text(arm)}, the last one: {arm.fault}" if arm.fault else counts_text(arm)


def harm_of_bake(tally: Tally, *, alpha: float) -> str:
    """Why a version with no arm beside it is to be taken back; empty: no evidence of harm."""
    if tally.bake_e_value < 1 / alpha:
        return ""
    return (
        f"{_faults_text(tally.canary)}: more than the tolerated {tally.baseline:.1%} failures "
        f"or {TOLERATED_SLOW_SHARE:.0%} slow seconds, "
        f"e-value {tally.bake_e_value:.3g} reached {1 / alpha:g}"
    )


def log_e_of_shadow(tally: Tally) -> float:
    """Log e-value against "a version in shadow fails no more than the champion, or than is tolerated"."""
    return evidence.log_e_of_requests(
        tally.shadow.broken, tally.shadow.requests, baseline=_baseline_of_shadow(tally)
    )


def harm_of_shadow(tally: Tally, *, alpha: float) -> str:
    """Why a version in shadow is to be taken back; empty: no evidence of harm."""
    shadow = tally.shadow
    counts = f"{shadow.failed} failures, {shadow.malformed} malformed in {shadow.requests} copies"
    said = f" ({shadow.reason})" if shadow.reason else ""
    if shadow.requests >= ONLY_FAILURES and shadow.broken == shadow.requests:
        return f"every one of its {shadow.requests} copies failed: {counts}{said}"
    if (log_e := log_e_of_shadow(tally)) < -log(alpha):
        return ""
    return (
        f"{counts}{said}: more than the tolerated {_baseline_of_shadow(tally):.1%}, "
        f"e-value {exp(min(log_e, 700.0)):.3g} reached {1 / alpha:g}"
    )


def _baseline_of_shadow(tally: Tally) -> float:
    champion = tally.champion
    seen = (champion.broken + 1) / (champion.requests + 2) if champion.requests else 0.0
    return max(TOLERATED_BAD_SHARE, seen)


def _single_class(tally: Tally, *, classes: int) -> str:
    if len(tally.canary.classes) != 1 or classes < 2:
        return ""
    name, answers = tally.canary.classes[0]
    others = sum(count for other, count in tally.champion.classes if other != name)
    # Records of the canary may come later than the champion's, since it is slow at first: what the other
    # arm was asked meanwhile proves nothing before the canary's own answers are many, too.
    rows = sum(count for _, count in tally.champion.classes)
    own = evidence.log_e_of_single_class((rows - others + 1) / (rows + 2), answers)
    log_e = min(own, single_class.log_e_value(tally.answers, name, classes=classes))
    if log_e < -log(SINGLE_CLASS_ALPHA):
        return ""
    return (
        f"all its {answers} answers are {name!r}, while {others} of the champion's beside it are not: "
        f"e-value {exp(min(log_e, 700)):.3g} reached {1 / SINGLE_CLASS_ALPHA:g}"
    )
