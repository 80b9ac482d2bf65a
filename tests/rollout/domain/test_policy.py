import pytest

from services.rollout.domain.policy import Policy, of_spec
from slipway import spec
from slipway.errors import InvalidInput

SPEC = """
name: m
task: binary
features: [{name: a}, {name: city, type: categorical}]
label: {name: y, classes: ["0", "1"]}
serving: {cpus_per_replica: 0.5}
rollout:
  label_horizon_s: 60
  steps:
    - {kind: shadow, min_rows: 10}
    - {weight_percent: 10, rules: [errors, answers]}
    - {kind: ab, weight_percent: 50, metric: acceptance, better: higher}
    - {kind: blue_green}
  rules:
    - {name: quality, metric: accuracy, paired: true, margin: 0.02}
    - {name: errors, metric: error_rate}
    - {name: answers, metric: accuracy, on_harm: hold}
    - {name: far, metric: brier, on_harm: report, slice: {feature: a, range: [1, 2]}}
    - {name: oslo, metric: accuracy, slice: {feature: city, equals: Oslo}}
"""


def policy(text: str = SPEC) -> Policy:
    return of_spec(spec.parse(text))


def test_a_policy_has_the_rules_of_the_spec() -> None:
    it = policy()
    quality, errors, answers, far, oslo = it.rules
    assert (quality.is_paired, quality.margin, quality.is_guardrail) == (True, 0.02, True)
    assert (errors.is_guardrail, answers.is_guardrail, answers.is_dry_run) == (True, False, False)
    assert (far.is_dry_run, far.is_guardrail, far.slice_name) == (True, False, "a 1 to 2")
    assert oslo.slice_name == "city = Oslo"
    assert set(it.slices) == {"a 1 to 2", "city = Oslo"}
    assert (it.classes, it.features, it.cpus_per_replica) == (("0", "1"), ("a", "city"), 0.5)
    assert (it.needs_pairs, it.needs_labels) == (True, True)


def test_each_step_has_the_rules_that_fit_it() -> None:
    it = policy()
    names = [[rule.name for rule in it.rules_of(step)] for step in range(-1, 5)]
    assert names == [[], ["quality"], ["errors", "answers"], ["errors", "answers", "far", "oslo"], [], []]
    assert [it.kind_of(step) for step in range(-1, 5)] == ["", "shadow", "canary", "ab", "blue_green", ""]


def test_a_policy_without_rules_waits_for_nothing() -> None:
    it = policy(SPEC[: SPEC.index("rollout:")])
    assert (it.rules, it.needs_pairs, it.needs_labels) == ((), False, False)
    assert len(it.rollout.steps) == 2


def test_the_metric_of_an_ab_step_may_be_what_waits_for_labels() -> None:
    text = SPEC[: SPEC.index("  rules:")].replace(", rules: [errors, answers]", "")
    assert policy(text).needs_labels


def test_a_regressor_has_no_classes() -> None:
    it = policy("name: m\ntask: regression\nfeatures: [{name: a}]\nlabel: {name: y}\n")
    assert (it.is_classifier, it.classes) == (False, ())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rules: [errors, answers]", "rules: [quality]", "'quality' needs shadow pairs"),
        (
            "{kind: shadow, min_rows: 10}",
            "{kind: shadow, rules: [errors]}",
            "'errors' needs requests of two arms",
        ),
        ("    - {kind: shadow, min_rows: 10}\n", "", "'quality' is looked at in no step"),
        ("margin: 0.02", "margin: 1.5", "margin 1.5 must be"),
    ],
)
def test_refuses_what_could_never_be_judged(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        policy(SPEC.replace(old, new))
