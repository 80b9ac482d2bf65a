"""What a rule has seen so far, and how strongly it speaks for harm and for harmlessness."""

from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain import effect, evidence, mean_sequence, pairs, unit_cap
from services.rollout.domain.betting import log_mean_exp
from services.rollout.domain.effect import NO_EFFECT, Effect
from services.rollout.domain.pairs import NO_PAIRS, Pairs
from services.rollout.domain.rule import Form, Rule
from services.rollout.domain.unit_cap import NO_UNITS, UnitCap
from slipway.errors import InvalidInput

# The mixture of an asymptotic test is narrowest at this multiple of the rule's minimum sample.
EXPECTED_MULTIPLE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEvidence:
    """One rule's state; what its form does not need stays as it begins.

    Attributes:
        log_ratios: log e-value per rate ratio, on bad events.
        seen_units: Units of which one request was compared.
        bad_units: Units of which one bad event was compared.
    """

    log_ratios: evidence.LogRatios = evidence.NO_EVIDENCE
    effect: Effect = NO_EFFECT
    pairs: Pairs = NO_PAIRS
    seen_units: UnitCap = NO_UNITS
    bad_units: UnitCap = NO_UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The metric of one request.

    Attributes:
        value: 1 for a bad event and 0 otherwise, or the metric's number.
        share: The canary's share of the assignments between these two arms when it was routed.
        unit: The sticky unit; empty: the request is its own.
    """

    value: float
    is_canary: bool
    share: float
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMeasurement:
    """One labelled request that both versions answered."""

    is_champion_right: bool
    is_candidate_right: bool
    unit: str = ""


def observe(state: RuleEvidence, rule: Rule, measurement: Measurement) -> RuleEvidence:
    """Add one request; a unit counts once, and its bad event once.

    Raises:
        InvalidInput: The value is no finite number, is outside the metric's limits, or the rule is paired.
    """
    if rule.is_paired:
        raise InvalidInput(f"rule {rule.name!r} judges shadow pairs, not requests of one arm")
    metric = rule.definition
    if metric.form is Form.EVENT and measurement.value not in (0, 1):
        raise InvalidInput(f"rule {rule.name!r}: an event is 0 or 1, not {measurement.value}")
    number = -measurement.value if metric.is_larger_better else measurement.value
    value = effect.Value(number=number, is_canary=measurement.is_canary, share=measurement.share)
    seen_units, is_first = unit_cap.admit(state.seen_units, measurement.unit)
    compared = effect.observe(state.effect, value, bounds=rule.bounds)
    counted = replace(state, seen_units=seen_units, effect=compared if is_first else state.effect)
    if metric.form is not Form.EVENT or measurement.value == 0:
        return counted
    return _observe_bad(counted, measurement)


def observe_pair(state: RuleEvidence, rule: Rule, measurement: PairMeasurement) -> RuleEvidence:
    """Add one pair of a shadow; a unit counts once.

    Raises:
        InvalidInput: The rule is not paired.
    """
    if not rule.is_paired:
        raise InvalidInput(f"rule {rule.name!r} judges requests of two arms, not shadow pairs")
    seen_units, is_first = unit_cap.admit(state.seen_units, measurement.unit)
    if not is_first:
        return replace(state, seen_units=seen_units)
    counted = pairs.observe(
        state.pairs,
        is_champion_right=measurement.is_champion_right,
        is_candidate_right=measurement.is_candidate_right,
    )
    return replace(state, seen_units=seen_units, pairs=counted)


def samples(state: RuleEvidence, rule: Rule) -> int:
    """Pairs, or what the arm with less has."""
    if rule.is_paired:
        return state.pairs.labels
    return min(state.effect.canary.count, state.effect.champion.count)


def log_e_harm(state: RuleEvidence, rule: Rule) -> float:
    """Log e-value against "not worse".

    Exact, but for an unbounded mean: that one is asymptotic and says nothing below `min_samples`.
    """
    if rule.is_paired:
        return pairs.log_e_worse(state.pairs)
    if rule.definition.form is Form.EVENT:
        return log_mean_exp(state.log_ratios)
    if rule.definition.form is Form.BOUNDED:
        return state.effect.harm.log_e_value
    if samples(state, rule) < rule.min_samples:
        return 0.0
    return mean_sequence.log_e_above(state.effect.contrasts, 0.0, rho=_rho(rule))


def log_e_proof(state: RuleEvidence, rule: Rule) -> float:
    """Log e-value against "worse by the margin or more"; 0 where the rule has no margin."""
    if rule.margin is None:
        return 0.0
    if rule.is_paired:
        return pairs.log_e_no_worse(state.pairs, margin=rule.margin)
    if rule.definition.form is not Form.UNBOUNDED:
        return state.effect.proof.log_e_value
    if samples(state, rule) < rule.min_samples:
        return 0.0
    mirrored = replace(state.effect.contrasts, mean=-state.effect.contrasts.mean)
    return mean_sequence.log_e_above(mirrored, -rule.margin, rho=_rho(rule))


def _observe_bad(state: RuleEvidence, measurement: Measurement) -> RuleEvidence:
    if not 0 < measurement.share < 1:
        return state
    bad_units, is_first = unit_cap.admit(state.bad_units, measurement.unit)
    if not is_first:
        return replace(state, bad_units=bad_units)
    ratios = evidence.add_bad_event(
        state.log_ratios, is_canary=measurement.is_canary, share=measurement.share
    )
    return replace(state, bad_units=bad_units, log_ratios=ratios)


def _rho(rule: Rule) -> float:
    return mean_sequence.scale(EXPECTED_MULTIPLE * rule.min_samples, alpha=0.05)
