from math import log, nan

import numpy as np
import pytest

from services.rollout.domain.rule import Rule
from services.rollout.domain.rule_evidence import (
    Measurement,
    PairMeasurement,
    RuleEvidence,
    log_e_harm,
    log_e_proof,
    observe,
    observe_pair,
    samples,
)
from slipway.errors import InvalidInput

ERRORS = Rule(name="errors", metric="error_rate", margin=0.05)
BRIER = Rule(name="brier", metric="brier", margin=0.2, min_samples=20)
VALUE = Rule(name="value", metric="value", margin=1.0, min_samples=50)
SHADOW = Rule(name="shadow", metric="accuracy", is_paired=True, margin=0.05)
NOTHING = RuleEvidence()


def after(
    rule: Rule, *, canary: float, champion: float, requests: int = 400, spread: float = 0.0
) -> RuleEvidence:
    """Requests turn by turn at a share of a half; numbers around the arm's own."""
    rng = np.random.default_rng(17)
    state = NOTHING
    for i in range(requests):
        is_canary = i % 2 == 0
        number = (canary if is_canary else champion) + spread * float(rng.standard_normal())
        state = observe(state, rule, Measurement(value=number, is_canary=is_canary, share=0.5))
    return state


@pytest.mark.parametrize("rule", [ERRORS, BRIER, VALUE, SHADOW])
def test_nothing_seen_is_no_evidence_of_anything(rule: Rule) -> None:
    assert (samples(NOTHING, rule), log_e_harm(NOTHING, rule), log_e_proof(NOTHING, rule)) == (0, 0, 0)


def test_failures_of_the_canary_alone_are_harm() -> None:
    state = after(ERRORS, canary=1.0, champion=0.0, requests=60)
    assert log_e_harm(state, ERRORS) > log(1000)
    assert log_e_proof(state, ERRORS) < 0


def test_no_failures_at_all_prove_the_margin_in_time() -> None:
    state = after(ERRORS, canary=0.0, champion=0.0)
    assert log_e_harm(state, ERRORS) == 0
    assert log_e_proof(state, ERRORS) > log(20)


def test_a_bounded_number_is_judged_both_ways() -> None:
    assert log_e_harm(after(BRIER, canary=1.5, champion=0.1), BRIER) > log(1000)
    assert log_e_proof(after(BRIER, canary=0.3, champion=0.3), BRIER) > log(20)


def test_less_value_is_harm_and_more_is_proof() -> None:
    less = after(VALUE, canary=2.0, champion=5.0, spread=1.0)
    more = after(VALUE, canary=5.0, champion=5.0, spread=1.0)
    assert log_e_harm(less, VALUE) > log(1000)
    assert log_e_harm(more, VALUE) < log(20)
    assert log_e_proof(more, VALUE) > log(20)


def test_an_unbounded_mean_says_nothing_below_its_minimum_sample() -> None:
    few = after(VALUE, canary=2.0, champion=500.0, requests=98, spread=1.0)
    assert (samples(few, VALUE), log_e_harm(few, VALUE), log_e_proof(few, VALUE)) == (49, 0, 0)


def test_one_empty_arm_is_no_sample() -> None:
    state = NOTHING
    for _ in range(50):
        state = observe(state, ERRORS, Measurement(value=0.0, is_canary=False, share=0.5))
    assert samples(state, ERRORS) == 0


def test_pairs_are_judged_both_ways() -> None:
    worse = better = NOTHING
    for _ in range(40):
        worse = observe_pair(worse, SHADOW, PairMeasurement(is_champion_right=True, is_candidate_right=False))
        better = observe_pair(
            better, SHADOW, PairMeasurement(is_champion_right=False, is_candidate_right=True)
        )
    assert log_e_harm(worse, SHADOW) > log(1000)
    assert log_e_proof(better, SHADOW) > log(1000)
    assert samples(worse, SHADOW) == 40


def test_a_unit_counts_once_and_its_failure_once() -> None:
    state = NOTHING
    for value in (0.0, 1.0, 1.0, 1.0):
        state = observe(state, ERRORS, Measurement(value=value, is_canary=True, share=0.5, unit="ann"))
    once = observe(NOTHING, ERRORS, Measurement(value=1.0, is_canary=True, share=0.5))
    assert state.effect.canary.count == 1
    assert state.log_ratios == once.log_ratios


def test_a_unit_is_one_pair() -> None:
    state, pair = NOTHING, PairMeasurement(is_champion_right=True, is_candidate_right=False, unit="ann")
    for _ in range(3):
        state = observe_pair(state, SHADOW, pair)
    assert state.pairs.labels == 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_another_arm_a_failure_does_not_use_up_its_unit(share: float) -> None:
    state = observe(NOTHING, ERRORS, Measurement(value=1.0, is_canary=True, share=share, unit="ann"))
    assert state.bad_units == NOTHING.bad_units


def test_without_a_margin_no_proof_is_asked() -> None:
    rule = Rule(name="errors", metric="error_rate")
    assert log_e_proof(after(rule, canary=0.0, champion=0.0), rule) == 0


@pytest.mark.parametrize("value", [nan, 0.5, 2.0])
def test_refuses_an_event_that_is_none(value: float) -> None:
    with pytest.raises(InvalidInput, match="0 or 1"):
        observe(NOTHING, ERRORS, Measurement(value=value, is_canary=True, share=0.5))


def test_refuses_measurements_of_the_other_kind() -> None:
    with pytest.raises(InvalidInput, match="shadow pairs"):
        observe(NOTHING, SHADOW, Measurement(value=1.0, is_canary=True, share=0.5))
    with pytest.raises(InvalidInput, match="two arms"):
        observe_pair(NOTHING, ERRORS, PairMeasurement(is_champion_right=True, is_candidate_right=True))
