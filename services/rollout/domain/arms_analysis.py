"""An A/B/n test of a length fixed before: every arm against the control, read once, at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.rollout.domain.fixed_horizon import Comparison, compare_means, compare_shares, holm
from services.rollout.domain.moments import Moments
from slipway.errors import InvalidInput

Counts = tuple[int, int]  # events and requests


class Direction(StrEnum):
    """Where an arm lies beside the control."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "open"  # no difference was shown; that is not the same as none


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm at the end.

    Attributes:
        comparison: Against the control; the interval holds for all arms together at 1 - alpha.
        p_value: Corrected for the number of arms.
    """

    arm: str
    comparison: Comparison
    p_value: float
    direction: Direction


def analyse_means(
    arms: Mapping[str, Moments], *, control: str, alpha: float, is_larger_better: bool
) -> tuple[ArmResult, ...]:
    """Welch's test of each arm's mean.

    Raises:
        InvalidInput: No other arm, an unknown control, or an arm with too little.
    """
    others = _others(arms, control)
    part = alpha / len(others)
    found = {arm: compare_means(arms[control], arms[arm], alpha=part) for arm in others}
    return _results(found, alpha=alpha, is_larger_better=is_larger_better)


def analyse_shares(
    arms: Mapping[str, Counts], *, control: str, alpha: float, is_larger_better: bool
) -> tuple[ArmResult, ...]:
    """The z-test of each arm's share of events.

    Raises:
        InvalidInput: No other arm, an unknown control, or an arm without requests.
    """
    others = _others(arms, control)
    part = alpha / len(others)
    found = {arm: compare_shares(arms[control], arms[arm], alpha=part) for arm in others}
    return _results(found, alpha=alpha, is_larger_better=is_larger_better)


def _others(arms: Mapping[str, object], control: str) -> list[str]:
    others = [arm for arm in arms if arm != control]
    if control not in arms or not others:
        raise InvalidInput(f"arms {', '.join(arms)} with the control {control!r}: needs it and another one")
    return others


def _results(
    found: Mapping[str, Comparison], *, alpha: float, is_larger_better: bool
) -> tuple[ArmResult, ...]:
    corrected = holm({arm: comparison.p_value for arm, comparison in found.items()})
    return tuple(
        ArmResult(
            arm=arm,
            comparison=comparison,
            p_value=corrected[arm],
            direction=_direction(comparison, corrected[arm], alpha=alpha, is_larger_better=is_larger_better),
        )
        for arm, comparison in found.items()
    )


def _direction(comparison: Comparison, p_value: float, *, alpha: float, is_larger_better: bool) -> Direction:
    if p_value > alpha:
        return Direction.OPEN
    return Direction.BETTER if (comparison.difference > 0) == is_larger_better else Direction.WORSE
