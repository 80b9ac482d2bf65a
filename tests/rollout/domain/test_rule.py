from math import nan

import pytest

from services.rollout.domain.rule import METRICS, Form, Rule, check_rule
from slipway.errors import InvalidInput


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_makes_a_rule(metric: str) -> None:
    rule = check_rule(Rule(name="r", metric=metric, margin=0.01))
    assert (rule.bounds is None) == (METRICS[metric].form is Form.UNBOUNDED)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Rule(name="r", metric="beauty"), "not one of error_rate"),
        (Rule(name="r", metric="error_rate", margin=1.0), "below 1"),
        (Rule(name="r", metric="error_rate", margin=-0.1), ">= 0"),
        (Rule(name="r", metric="value", margin=nan), ">= 0"),
        (Rule(name="r", metric="brier", margin=2.0), "below 2"),
        (Rule(name="r", metric="error_rate", min_samples=0), "no data is no proof"),
        (Rule(name="r", metric="error_rate", alpha_weight=0), "alpha_weight"),
        (Rule(name="r", metric="cost", is_paired=True), "no paired test"),
    ],
)
def test_refuses_a_rule_that_could_never_be_judged(rule: Rule, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check_rule(rule)


@pytest.mark.parametrize(
    ("rule", "noun"),
    [
        (Rule(name="r", metric="accuracy", is_paired=True), "pairs"),
        (Rule(name="r", metric="accuracy"), "labels"),
        (Rule(name="r", metric="error_rate"), "requests"),
    ],
)
def test_says_what_it_counts(rule: Rule, noun: str) -> None:
    assert rule.samples_noun == noun
