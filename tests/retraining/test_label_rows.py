import numpy as np
import pytest

from services.retraining import label_rows
from slipway import spec as model_spec
from slipway.errors import InvalidInput
from slipway.tensors import to_tensor
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted

NUMERIC = model_spec.parse(
    'name: m\ntask: binary\nfeatures: [{name: a}, {name: b}]\nlabel: {name: y, classes: ["0", "1"]}\n'
)
MIXED = model_spec.parse(
    "name: m\ntask: binary\nfeatures: [{name: a}, {name: city, type: categorical}]\n"
    'label: {name: y, classes: ["0", "1"]}\n'
)


def label(text: str = "1", **inputs: np.ndarray) -> LabelMatched:
    message = LabelMatched(
        prediction_id="p", row=2, revision=3, model="m", version="7", source="s", label=text
    )
    message.inputs.extend(to_tensor(name, values) for name, values in inputs.items())
    message.served_at.FromMilliseconds(1500)
    return message


def test_a_numeric_row_is_kept_as_float32_in_the_order_of_the_spec() -> None:
    it = label_rows.matched(label(features=np.array([[1.5, 2.5]], dtype=np.float32)), NUMERIC)
    assert np.frombuffer(it.numbers or b"", dtype="<f4").tolist() == [1.5, 2.5]
    assert (it.prediction_id, it.row, it.revision, it.label, it.served_at_s) == ("p", 2, 3, "1", 1.5)
    single = label(b=np.array([[2.5]], dtype=np.float32), a=np.array([[1.5]], dtype=np.float32))
    assert label_rows.matched(single, NUMERIC).numbers == it.numbers


def test_categories_are_texts() -> None:
    city = np.array([["Zürich\0"]], dtype=object)
    it = label_rows.matched(label(a=np.array([[1]], dtype=np.float32), city=city), MIXED)
    assert it.texts == ("Zürich",)


@pytest.mark.parametrize(
    ("message", "spec", "reason"),
    [
        (label("2", features=np.zeros((1, 2), dtype=np.float32)), NUMERIC, "none of its classes 0, 1"),
        (label(features=np.zeros((1, 3), dtype=np.float32)), NUMERIC, "3 values, model m has 2 features"),
        (label(a=np.zeros((1, 1), dtype=np.float32)), MIXED, "features city of model m"),
        (label(a=np.zeros((1, 1), np.float32), city=np.zeros((1, 1), np.float32)), MIXED, "features city"),
        (label(features=np.array([[np.inf, 0]], dtype=np.float32)), NUMERIC, "infinite"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_named(
    message: LabelMatched, spec: model_spec.Spec, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        label_rows.matched(message, spec)


def test_a_retraction_keeps_nothing_of_what_was_said() -> None:
    it = label_rows.retracted(LabelRetracted(prediction_id="p", row=1, revision=4, model="m", source="s"))
    assert (it.label, it.numbers, it.texts, it.revision) == (None, None, (), 4)
