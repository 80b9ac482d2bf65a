"""What an A/B step has seen of each arm, for the look at the end and for looks all along."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain import effect, moments
from services.rollout.domain.assignment import Assignment
from services.rollout.domain.effect import NO_EFFECT, Bounds, Effect, Value
from services.rollout.domain.moments import NO_MOMENTS, Moments
from services.rollout.domain.rule import METRICS, Form


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSeen:
    """One arm of an A/B step.

    Attributes:
        version: Whose.
        moments: Of the step's metric as people read it (accuracy, not wrong answers); one per unit.
        events: How many of them were 1: of metrics that are 0 or 1.
        effect: Beside the champion, larger is worse by the step's declared direction: `harm` bets against
            "no worse", `proof` against "no better"; unbounded metrics have the contrasts only.
    """

    version: str
    moments: Moments = NO_MOMENTS
    events: int = 0
    effect: Effect = NO_EFFECT

    @property
    def counts(self) -> tuple[int, int]:
        """Events and requests, for `arms_analysis.analyse_shares`."""
        return self.events, self.moments.count


Arms = tuple[ArmSeen, ...]
NO_ARMS: Final[Arms] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an A/B step declared before it began."""

    metric: str
    is_larger_better: bool


def observe(arms: Arms, draw: Assignment, value: float, *, question: Question) -> Arms:
    """Add one request, its value as people read the metric."""
    known = {arm.version: arm for arm in arms}
    begun = [known.get(version, ArmSeen(version=version)) for version in draw.versions]
    at, champion = draw.arm, len(begun) - 1
    begun[at] = replace(
        begun[at], moments=moments.observe(begun[at].moments, value), events=begun[at].events + (value == 1)
    )
    # A request of the champion speaks about every other arm, one of another arm about that one alone.
    for arm in range(champion) if at == champion else (at,):
        begun[arm] = replace(begun[arm], effect=_effect(begun[arm].effect, draw, arm, (value, question)))
    return tuple(begun)


def moments_of(arms: Sequence[ArmSeen]) -> dict[str, Moments]:
    """Per version, for `arms_analysis.analyse_means`."""
    return {arm.version: arm.moments for arm in arms}


def counts_of(arms: Sequence[ArmSeen]) -> dict[str, tuple[int, int]]:
    """Per version, for `arms_analysis.analyse_shares`."""
    return {arm.version: arm.counts for arm in arms}


def _effect(before: Effect, draw: Assignment, arm: int, asked: tuple[float, Question]) -> Effect:
    value, question = asked
    share = draw.share_beside_champion(arm)
    number = Value(
        number=-value if question.is_larger_better else value, is_canary=draw.arm == arm, share=share
    )
    return effect.observe(before, number, bounds=_bounds(question))


def _bounds(question: Question) -> Bounds | None:
    metric = METRICS[question.metric]
    if metric.form is Form.UNBOUNDED:
        return None
    # Turned round, so that larger is worse: 0..1 becomes -1..0.
    return Bounds(low=-metric.high, high=0.0) if question.is_larger_better else Bounds(high=metric.high)
