"""When the new version is taken back."""

from math import exp, log
from typing import Final

from services.rollout.domain import evidence
from services.rollout.domain.explanation import counts_text
from services.rollout.domain.tally import TOLERATED_SLOW_SHARE, Tally

# A canary that does nothing but fail is taken back before any statistics.
ONLY_FAILURES: Final = 5
# Stricter than `alpha`: the champion's share is itself an estimate, and neighbours in a
# stream resemble each other.
SINGLE_CLASS_ALPHA: Final = 0.001
SINGLE_CLASS_CHAMPION_ROWS: Final = 30


def harm_of_canary(tally: Tally, *, alpha: float) -> str:
    """Why the canary is to be taken back; empty: no evidence of harm."""
    canary = tally.canary
    if canary.requests >= ONLY_FAILURES and canary.broken == canary.requests:
        return f"every one of its {canary.requests} requests failed ({counts_text(canary)})"
    if tally.e_value >= 1 / alpha:
        return (
            f"{counts_text(canary)}, beside the champion's {counts_text(tally.champion)}: "
            f"e-value {tally.e_value:.3g} reached {1 / alpha:g}"
        )
    # The bake's test has evidence here only after a step of 100 %.
    return harm_of_bake(tally, alpha=alpha) or _single_class(tally)


def harm_of_bake(tally: Tally, *, alpha: float) -> str:
    """Why the new champion is to be taken back; empty: no evidence of harm."""
    if tally.bake_e_value < 1 / alpha:
        return ""
    return (
        f"{counts_text(tally.canary)}: more than the tolerated {tally.baseline:.1%} failures "
        f"or {TOLERATED_SLOW_SHARE:.0%} slow seconds, "
        f"e-value {tally.bake_e_value:.3g} reached {1 / alpha:g}"
    )


def _single_class(tally: Tally) -> str:
    champion = dict(tally.champion.classes)
    rows = sum(champion.values())
    if len(tally.canary.classes) != 1 or len(champion) < 2 or rows < SINGLE_CLASS_CHAMPION_ROWS:
        return ""
    name, answers = tally.canary.classes[0]
    # One answer more of each kind than was seen: the share of a rare class is not taken for 0.
    share = (champion.get(name, 0) + 1) / (rows + 2)
    log_e = evidence.log_e_of_single_class(share, answers)
    if log_e < log(1 / SINGLE_CLASS_ALPHA):
        return ""
    return (
        f"all its {answers} answers are {name!r}, which the champion gave in {share:.0%} of {rows}: "
        f"e-value {exp(min(log_e, 700)):.3g} reached {1 / SINGLE_CLASS_ALPHA:g}"
    )
