"""The canary's effect on a mean, when its share of the traffic grows and the days differ.

The plain difference of two averages is wrong then: the canary gets most of its requests later, when all
requests may be worse. Weighing each request by its own chance of going where it went cures that.
"""

from dataclasses import dataclass
from typing import Final

from services.rollout.domain.betting import NO_BETS, Bets, bet
from services.rollout.domain.moments import NO_MOMENTS, Moments
from services.rollout.domain.moments import merge as merge_moments
from services.rollout.domain.moments import observe as add
from slipway.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One number per request, compared between the canary and the champion.

    Attributes:
        contrasts: Of the unbiased contrasts, one per request.
        harm: Bets against "the effect is at most 0"; moved for bounded values only.
        proof: Bets against "the effect is at least the margin"; moved for bounded values only.
    """

    canary: Moments = NO_MOMENTS
    champion: Moments = NO_MOMENTS
    contrasts: Moments = NO_MOMENTS
    harm: Bets = NO_BETS
    proof: Bets = NO_BETS


NO_EFFECT: Final = Effect()


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A request's number.

    Attributes:
        number: Larger is worse.
        share: The canary's share of the assignments when the request was routed, 0..1.
    """

    number: float
    is_canary: bool
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between which numbers a bounded metric lies, and how much worse is tolerated, on its scale."""

    low: float = 0.0
    high: float = 1.0
    margin: float = 0.0


def observe(effect: Effect, value: Value, *, bounds: Bounds | None = None) -> Effect:
    """Add one request.

    Args:
        effect: So far.
        value: The request's number, arm and share.
        bounds: Of a bounded metric; None: unbounded, and only the moments move.
    Returns:
        The new state. With a share of 0 or 1 there is nothing to compare, and nothing changes.
    Raises:
        InvalidInput: Not finite, or outside its bounds.
    Formula: contrast X = (A / s - (1 - A) / (1 - s)) (Y - c), with A = 1 for the canary, s its share and c
        the mean of all earlier Y: E[X | past] is the effect at that moment whatever c is, and a good c
        makes X small. Bets: harm gains X, proof gains margin - X.
    Source: Horvitz, Thompson, A generalization of sampling without replacement from a finite universe,
        JASA 47, 1952; Waudby-Smith, Wu, Ramdas, Karampatziakis, Mineiro, Anytime-valid off-policy inference
        for contextual bandits, ACM/IMS J. Data Science 1, 2024 (betting on importance-weighted values).
    """
    if not 0 < value.share < 1:
        return effect
    if bounds is not None and not bounds.low <= value.number <= bounds.high:
        raise InvalidInput(f"a value of {value.number}: must lie within {bounds.low:g} and {bounds.high:g}")
    centre = _centre(effect, value, bounds)
    weight = 1 / value.share if value.is_canary else -1 / (1 - value.share)
    contrast = weight * (value.number - centre)
    harm, proof = effect.harm, effect.proof
    if bounds is not None:
        harm, proof = _bet(effect, contrast, centre=centre, share=value.share, bounds=bounds)
    return Effect(
        canary=add(effect.canary, value.number) if value.is_canary else effect.canary,
        champion=effect.champion if value.is_canary else add(effect.champion, value.number),
        contrasts=add(effect.contrasts, contrast),
        harm=harm,
        proof=proof,
    )


def _centre(effect: Effect, value: Value, bounds: Bounds | None) -> float:
    """What was usual before this request; the first one of an unbounded metric only says what is usual."""
    past = merge_moments(effect.canary, effect.champion)
    if past.count:
        return past.mean
    return value.number if bounds is None else (bounds.low + bounds.high) / 2


def _bet(
    effect: Effect, contrast: float, *, centre: float, share: float, bounds: Bounds
) -> tuple[Bets, Bets]:
    above, below = bounds.high - centre, centre - bounds.low
    highest = max(above / share, below / (1 - share))
    lowest = max(below / share, above / (1 - share))
    harm = bet(effect.harm, contrast, worst=lowest)
    # `highest` is at least the metric's whole range, so a margin below that leaves something to lose.
    proof = bet(effect.proof, bounds.margin - contrast, worst=highest - bounds.margin)
    return harm, proof
