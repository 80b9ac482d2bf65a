"""What users bring: models out of scikit-learn, and graphs written by hand for the odd cases."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipway.errors import InvalidInput
from slipway.onnx_model import CLASSES_PROPERTY, OnnxModel
from slipway.spec import Spec
from slipway.spec_sections import Feature, Label

TWO = (Feature(name="a", range=(0, 2)), Feature(name="b"))
MIXED = (
    Feature(name="size", range=(0, 4)),
    Feature(name="city", type="categorical", categories=("Rom", "Ulm")),
)
RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 2)).astype(np.float32)


def _spec(*classes: str, features: tuple[Feature, ...] = TWO) -> Spec:
    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    return Spec.model_validate(
        {"name": "m", "task": task, "features": features, "label": Label(name="y", classes=classes)}
    )


def _floats(values: Any) -> Any:
    return np.array(values, dtype=np.float32)


def _ints(values: Any) -> Any:
    return np.array(values, dtype=np.int64)


def _classifier(y: Any, **options: Any) -> bytes:
    fitted = LogisticRegression().fit(X, y)
    made = to_onnx(fitted, X[:1], options={"zipmap": False} | options)
    return bytes(made.SerializeToString())


def _graph(
    outputs: Mapping[str, tuple[int, Any]], *, inputs: Any = None, nodes: Any = None, **properties: str
) -> bytes:
    """A graph whose outputs are constants: name -> (tensor type, values)."""
    made = [
        helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(values)))
        for name, (_, values) in outputs.items()
    ]
    graph = helper.make_graph(
        nodes or made,
        "g",
        inputs or [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(n, kind, None) for n, (kind, _) in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, properties)
    return bytes(model.SerializeToString())


def test_integer_labels_become_the_class_texts() -> None:
    y = (X[:, 0] > 0).astype(int)
    answers = OnnxModel(_classifier(y), _spec("0", "1")).check({"features": X})
    assert (answers["label"] == np.where(answers["probabilities"][:, 1] > 0.5, "1", "0")).all()
    assert answers["probabilities"].dtype == np.float32
    assert answers["probabilities"].shape == (60, 2)


def test_columns_follow_the_order_of_the_spec() -> None:
    y = np.array(["up", "down", "flat"])[RNG.integers(0, 3, 60)]
    onnx_bytes = _classifier(y)
    one = OnnxModel(onnx_bytes, _spec("down", "flat", "up")).check({"features": X})
    other = OnnxModel(onnx_bytes, _spec("up", "flat", "down")).check({"features": X})
    np.testing.assert_array_equal(one["probabilities"], other["probabilities"][:, ::-1])
    assert (one["label"] == other["label"]).all()


def test_integer_classes_are_sorted_as_numbers() -> None:
    y = np.array([2, 10, 9])[RNG.integers(0, 3, 60)]
    answers = OnnxModel(_classifier(y), _spec("10", "2", "9")).check({"features": X})
    best = np.array(["10", "2", "9"])[answers["probabilities"].argmax(axis=1)]
    assert (answers["label"] == best).all()


def test_a_regressor_answers_one_number_a_row() -> None:
    fitted = LinearRegression().fit(X, X @ [1.0, 2.0])
    made = to_onnx(fitted, X[:1]).SerializeToString()
    answers = OnnxModel(made, _spec()).check({"features": X})
    assert answers["value"].shape == (60,)
    np.testing.assert_allclose(answers["value"], X @ [1.0, 2.0], atol=1e-4)


def test_mixed_features_come_as_one_tensor_each() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": [1.0, 2, 3, 4] * 5, "city": ["Rom", "Ulm"] * 10})
    pipeline = make_pipeline(
        ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough"),
        LogisticRegression(),
    ).fit(frame, frame["city"] == "Ulm")
    types = [("size", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    made = to_onnx(pipeline, initial_types=types, options={"zipmap": False})
    model = OnnxModel(made.SerializeToString(), _spec("0", "1", features=MIXED))
    answers = model.check(
        {"size": np.array([[1.0], [2.0]], np.float32), "city": np.array([[b"Rom"], [b"Ulm"]], object)}
    )
    assert answers["label"].tolist() == ["0", "1"]
    assert {k: v.tolist() for k, v in model.probe().items()} == {"size": [[2.0]], "city": [["Rom"]]}
    with pytest.raises(InvalidInput, match="tensors city are missing"):
        model.predict({"size": np.ones((1, 1), np.float32)})


def test_numeric_features_may_come_in_one_input_each() -> None:
    ports = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, [None, 1]) for n in ("a", "b")]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["value"], to=TensorProto.FLOAT),
    ]
    model = OnnxModel(_graph({"value": (TensorProto.FLOAT, [0.0])}, inputs=ports, nodes=nodes), _spec())
    np.testing.assert_allclose(model.predict({"features": X})["value"], X.sum(axis=1), rtol=1e-5)


def test_without_labels_the_most_probable_class_of_the_spec_is_taken() -> None:
    made = _graph({"scores": (TensorProto.FLOAT, _floats([[0.2, 0.8]]))})
    answers = OnnxModel(made, _spec("no", "yes")).check({"features": X[:1]})
    assert answers["label"].tolist() == ["yes"]


def test_metadata_states_the_order_of_the_columns() -> None:
    outputs = {
        "label": (TensorProto.INT64, _ints([1, 0])),
        "probabilities": (TensorProto.FLOAT, _floats([[0.9, 0.1], [0.2, 0.8]])),
    }
    stated = _graph(outputs, **{CLASSES_PROPERTY: orjson.dumps(["1", "0"]).decode()})
    answers = OnnxModel(stated, _spec("0", "1")).check({"features": X[:2]})
    np.testing.assert_allclose(answers["probabilities"], [[0.1, 0.9], [0.8, 0.2]])
    with pytest.raises(InvalidInput, match="does not fit its labels"):
        OnnxModel(_graph(outputs), _spec("0", "1")).check({"features": X[:2]})


@pytest.mark.parametrize(
    ("stated", "message"), [("[", "not a JSON list"), ("3", "not a JSON list"), ('["0", "2"]', "lists 0, 2")]
)
def test_refuses_metadata_that_does_not_fit(stated: str, message: str) -> None:
    made = _graph({"p": (TensorProto.FLOAT, _floats([[0.5, 0.5]]))}, **{CLASSES_PROPERTY: stated})
    with pytest.raises(InvalidInput, match=message):
        OnnxModel(made, _spec("0", "1"))


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x08\x07"])
def test_refuses_what_is_no_model(junk: bytes) -> None:
    with pytest.raises(InvalidInput, match="not an ONNX model"):
        OnnxModel(junk, _spec("0", "1"))


def test_refuses_maps_and_says_how_to_convert() -> None:
    made = _classifier((X[:, 0] > 0).astype(int), zipmap=True)
    with pytest.raises(InvalidInput, match="zipmap"):
        OnnxModel(made, _spec("0", "1"))


def test_refuses_a_wrong_number_of_features() -> None:
    three = (*TWO, Feature(name="c"))
    with pytest.raises(InvalidInput, match=r"must take one tensor\(float\) \[n, 3\]"):
        OnnxModel(_classifier((X[:, 0] > 0).astype(int)), _spec("0", "1", features=three))
    with pytest.raises(InvalidInput, match="one input per feature: size, city"):
        OnnxModel(_classifier((X[:, 0] > 0).astype(int)), _spec("0", "1", features=MIXED))


def test_refuses_an_input_of_the_wrong_kind() -> None:
    ports = [
        helper.make_tensor_value_info("size", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("city", TensorProto.FLOAT, [None, 1]),
    ]
    made = _graph({"value": (TensorProto.FLOAT, _floats([0.0]))}, inputs=ports)
    with pytest.raises(InvalidInput, match="input city is a tensor"):
        OnnxModel(made, _spec(features=MIXED))


@pytest.mark.parametrize(
    "outputs",
    [
        {"label": (TensorProto.INT64, _ints([1]))},
        {"p": (TensorProto.FLOAT, _floats([[1.0]])), "q": (TensorProto.FLOAT, _floats([[1.0]]))},
    ],
)
def test_refuses_outputs_that_do_not_fit(outputs: dict[str, tuple[int, Any]]) -> None:
    with pytest.raises(InvalidInput, match="it must give"):
        OnnxModel(_graph(outputs), _spec("0", "1"))
    with pytest.raises(InvalidInput, match="one float"):
        OnnxModel(_graph(outputs), _spec())


def test_refuses_integer_labels_where_classes_are_words() -> None:
    with pytest.raises(InvalidInput, match="integer labels"):
        OnnxModel(_classifier((X[:, 0] > 0).astype(int)), _spec("no", "yes"))


def test_refuses_a_label_that_the_spec_does_not_have() -> None:
    model = OnnxModel(_classifier(np.where(X[:, 0] > 0, 3, 4)), _spec("0", "1"))
    with pytest.raises(InvalidInput, match=r"answers label '[34]'"):
        model.predict({"features": X})


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[float("nan"), 1.0]], "NaN"),
        ([[2.0, 3.0]], "no probabilities"),
        ([[-1.0, 2.0]], "no probabilities"),
        ([[1.0]], "has shape"),
    ],
)
def test_check_refuses_answers_that_are_no_probabilities(probabilities: Any, message: str) -> None:
    made = _graph({"p": (TensorProto.FLOAT, _floats(probabilities))})
    with pytest.raises(InvalidInput, match=message):
        OnnxModel(made, _spec("0", "1")).check({"features": X[:1]})


def test_values_that_the_graph_cannot_take_are_the_senders_fault() -> None:
    model = OnnxModel(_classifier((X[:, 0] > 0).astype(int)), _spec("0", "1"))
    with pytest.raises(InvalidInput, match="cannot run"):
        model.predict({"features": np.ones((1, 5), np.float32)})
