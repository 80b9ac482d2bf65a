from typing import Any

import numpy as np
import pytest

from services.rollout.domain.measurement import Learned
from services.rollout.domain.policy import Policy, of_spec
from services.rollout.label_records import learn, read_label
from slipway import spec, tensors
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted, OutcomeMatched
from slipway.v1.tensors_pb2 import Tensor
from tests import kafka_source

SPEC = """
name: m
task: binary
features: [{name: a}, FEATURE]
label: {name: y, classes: ["0", "1"]}
rollout:
  label_horizon_s: 60
  rules:
    - {name: low, metric: accuracy, slice: {feature: a, range: [0, 1]}}
    - {name: other, metric: accuracy, slice: {feature: b, equals: EQUALS}}
"""
NUMERIC = of_spec(spec.parse(SPEC.replace("FEATURE", "{name: b}").replace("EQUALS", "7")))
CATEGORICAL = of_spec(
    spec.parse(SPEC.replace("FEATURE", "{name: b, type: categorical}").replace("EQUALS", "Oslo"))
)
REGRESSOR = of_spec(spec.parse("name: m\ntask: regression\nfeatures: [{name: a}]\nlabel: {name: y}\n"))


def _learned(message: Any, policy: Policy = NUMERIC) -> Learned | None:
    record = read_label(kafka_source.source_of("labels", message, partition=2, offset=7))
    assert record is not None
    return learn(record, policy)


def _label(*inputs: Tensor, **fields: Any) -> LabelMatched:
    given = {"version": "2", "revision": 1, "label": "1", "predicted": "0", "unit": "ann", "route_epoch": 5}
    message = LabelMatched(prediction_id="p", model="m", inputs=inputs, **{**given, **fields})
    message.served_at.seconds, message.matched_at.seconds = 1000, 1010
    return message


def _numbers(name: str, *values: float) -> Tensor:
    return tensors.to_tensor(name, np.array([values], dtype=np.float32))


def test_a_label_says_how_wrong_an_answer_was() -> None:
    learned = _learned(_label(probabilities=[0.75, 0.25], classes=["0", "1"]))
    assert learned is not None
    assert (learned.source, learned.offset, learned.version, learned.route_epoch) == ("labels/2", 7, "2", 5)
    assert (learned.served_s, learned.known_s, learned.unit) == (1000, 1010, "ann")
    assert (learned.values["accuracy"], learned.values["brier"]) == (1.0, pytest.approx(2 * 0.75**2))


@pytest.mark.parametrize(
    ("inputs", "slices"),
    [
        ([_numbers("features", 0.5, 7)], ("a 0 to 1", "b = 7.0")),
        ([_numbers("features", 2, 7)], ("b = 7.0",)),
        ([_numbers("features", 2)], ()),
        ([], ()),
    ],
)
def test_a_request_belongs_to_slices_by_its_inputs(inputs: list[Tensor], slices: tuple[str, ...]) -> None:
    learned = _learned(_label(*inputs))
    assert learned is not None
    assert learned.slices == slices


def test_inputs_may_come_one_by_one() -> None:
    city = tensors.to_tensor("b", np.array([[b"Oslo"]], dtype=object))
    learned = _learned(_label(_numbers("a", 3), city), CATEGORICAL)
    assert learned is not None
    assert learned.slices == ("b = Oslo",)


@pytest.mark.parametrize(
    "message",
    [
        _label(pinned=True),
        _label(version=""),
        _label(arm="cached_answer"),
        _label(revision=2),
        OutcomeMatched(version="2", rating=0.5),
        OutcomeMatched(version="2", business_value=float("nan")),
        OutcomeMatched(version="2"),
        OutcomeMatched(version="2", accepted=True, pinned=True),
    ],
)
def test_what_says_nothing_about_an_arm(message: Any) -> None:
    assert _learned(message) is None


def test_a_regressor_has_no_right_or_wrong() -> None:
    assert _learned(_label(), REGRESSOR) is None


@pytest.mark.parametrize(
    ("outcome", "values"),
    [
        ({"accepted": True}, {"acceptance": 0.0}),
        ({"accepted": False}, {"acceptance": 1.0}),
        ({"business_value": -2.5}, {"value": -2.5}),
    ],
)
def test_an_outcome_is_what_the_business_learned(outcome: Any, values: dict[str, float]) -> None:
    learned = _learned(OutcomeMatched(version="2", prediction_id="p", **outcome))
    assert learned is not None
    assert (learned.values, learned.is_label) == (values, False)


def test_retractions_are_not_read() -> None:
    assert read_label(kafka_source.source_of("labels", LabelRetracted(model="m"))) is None
