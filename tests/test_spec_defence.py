"""The section `defence` of a model spec."""

import pytest

from slipway.errors import InvalidInput
from slipway.spec import Spec, parse
from slipway.spec_defence import LEAST_RATE, MAX_FEATURES
from slipway.stats.density import MAX_COLUMNS
from slipway.stats.density_score import MAX_CALIBRATION


def spec(defence: str, *, task: str = "binary", features: str = "{name: a}") -> Spec:
    classes = ', classes: ["0", "1"]' if task == "binary" else ""
    text = f"name: m\ntask: {task}\nfeatures: [{features}]\nlabel: {{name: y{classes}}}\n"
    return parse(text + f"defence: {{{defence}}}\n")


def test_bounds_are_those_of_the_density() -> None:
    assert (MAX_FEATURES, 1 / LEAST_RATE) == (MAX_COLUMNS, MAX_CALIBRATION)


def test_only_what_the_spec_says_itself_is_demanded() -> None:
    assert not parse(
        'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
    ).defence.demands_density
    assert spec("density: {action: flag}").defence.demands_density
    assert not spec("density: {action: none}").defence.demands_density
    assert spec("agreement: {action: review}").defence.demands_density
    assert not spec("agreement: {action: none}").defence.demands_agreement
    assert spec("confidence: {coverage: 0.8}").defence.demands_calibration


@pytest.mark.parametrize(
    ("defence", "said"),
    [
        ("density: {action: explode}", r"line 5: defence.density.action"),
        ("density: {false_positive_rate: 0.00001}", r"line 5: defence.density.false_positive_rate"),
        ("agreement: {action: refuse}", r"line 5: defence.agreement.action"),
        ("squeezing: {bits: 4}", r"line 5: defence.squeezing: unknown key"),
        (
            "confidence: {when_set_larger_than: 2}",
            r"when_set_larger_than: no set has more than all 2 classes",
        ),
        ("confidence: {action: review}", r"line 5: defence.confidence.action: nothing leads to it"),
    ],
)
def test_what_cannot_be_enforced_is_refused_with_line_and_key(defence: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        spec(defence)


@pytest.mark.parametrize("key", ["abstain_below: 0.5", "when_set_larger_than: 1", "method: aps"])
def test_a_regressor_has_no_classes_to_be_sure_of(key: str) -> None:
    with pytest.raises(InvalidInput, match="a regressor answers with an interval"):
        spec(f"confidence: {{{key}}}", task="regression")


def test_a_regressor_has_no_answers_to_compare() -> None:
    with pytest.raises(InvalidInput, match="no classes that could be compared"):
        spec("agreement: {action: flag}", task="regression")


def test_more_features_than_can_be_compared_are_refused() -> None:
    many = ", ".join(f"{{name: f{i}}}" for i in range(MAX_FEATURES + 1))
    with pytest.raises(InvalidInput, match="1025 features cannot be compared"):
        spec("density: {action: flag}", features=many)
