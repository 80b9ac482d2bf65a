"""A fitted scikit-learn estimator as an ONNX model of its spec's signature, and the proof that they agree.

Inputs: one float tensor `features`, or one input per feature where the recipe addresses columns by
name. Outputs: `label` as text and `probabilities` in the order of the spec's classes.
"""

from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
from onnx import ModelProto, TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer

from services.retraining.step_values import Parity
from slipway.errors import InvalidInput
from slipway.onnx_model import CLASSES_PROPERTY, OnnxModel
from slipway.signature import FEATURES
from slipway.spec import Spec
from slipway.tensors import Array

# onnxruntime >= 1.22 runs these; newer ones would shut out older servers.
TARGET_OPSET: Final = {"": 17, "ai.onnx.ml": 3}
RELATIVE_TOLERANCE: Final = 1e-4
# Sums of float32 over a hundred trees: 3e-7 were seen on Elec2, so a small probability cannot be
# held to the relative bound alone.
ABSOLUTE_TOLERANCE: Final = 1e-5
_CODE: Final = "slipway_class_code"
_NAMES: Final = "slipway_class_names"


def to_onnx(estimator: Any, spec: Spec) -> bytes:
    """Convert an estimator that was fitted on class codes.

    Raises:
        InvalidInput: The estimator does not give a label and one probability per class.
    """
    types = _initial_types(estimator, spec)
    options = {id(estimator): {"zipmap": False}}
    model: ModelProto = convert_sklearn(
        estimator, name=spec.name, initial_types=types, target_opset=TARGET_OPSET, options=options
    )
    names = [output.name for output in model.graph.output]
    if len(names) != 2:
        raise InvalidInput(f"the estimator's ONNX form answers {names}, wanted are label and probabilities")
    _name_classes(model, spec, label=names[0])
    _rename_probabilities(model, names[1])
    helper.set_model_props(model, {CLASSES_PROPERTY: orjson.dumps(list(spec.label.classes)).decode()})
    return bytes(model.SerializeToString())


def compare(estimator: Any, onnx: OnnxModel, *, frame: Any, inputs: dict[str, Array], spec: Spec) -> Parity:
    """Hold the ONNX model's answers against the estimator's on the same rows.

    Raises:
        InvalidInput: They differ by more than float32 explains.
    """
    answers = onnx.check(inputs)
    rows = as_fitted(estimator, frame)
    expected = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
    names = np.array(spec.label.classes, dtype=object)[np.asarray(estimator.predict(rows), dtype=np.int64)]
    differences = np.abs(answers["probabilities"] - expected)
    top = np.sort(expected, axis=1)
    is_tie = top[:, -1] - top[:, -2] < ABSOLUTE_TOLERANCE
    mismatches = int(np.sum((answers["label"] != names) & ~is_tie))
    largest = float(differences.max(initial=0.0))
    is_close = differences <= RELATIVE_TOLERANCE * expected + ABSOLUTE_TOLERANCE
    if mismatches or not is_close.all():
        raise InvalidInput(
            f"the ONNX model does not repeat the estimator: {mismatches} labels of {len(expected)} differ, "
            f"probabilities by up to {largest:.2g}; a step of the recipe loses precision in float32"
        )
    return Parity(rows=len(expected), label_mismatches=mismatches, largest_difference=largest)


def as_fitted(estimator: Any, frame: pd.DataFrame) -> Any:
    """The rows in the form the estimator was fitted on: without names where the recipe dropped them."""
    is_nameless = isinstance(estimator, BaseEstimator) and not hasattr(estimator, "feature_names_in_")
    return frame.to_numpy() if is_nameless else frame


def _initial_types(estimator: Any, spec: Spec) -> list[tuple[str, Any]]:
    is_numeric = all(f.type == "numeric" for f in spec.features)
    if is_numeric and not _names_columns(estimator):
        return [(FEATURES, FloatTensorType([None, len(spec.features)]))]
    kinds = {"numeric": FloatTensorType, "categorical": StringTensorType}
    return [(f.name, kinds[f.type]([None, 1])) for f in spec.features]


def _names_columns(estimator: Any) -> bool:
    """Whether some step picks columns by name, so that conversion needs them one by one."""
    parts = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    pickers = [p for p in (estimator, *parts) if isinstance(p, ColumnTransformer)]
    return any(_is_named(columns) for picker in pickers for _, _, columns in picker.transformers)


def _is_named(columns: Any) -> bool:
    return isinstance(columns, str) or any(isinstance(column, str) for column in np.atleast_1d(columns))


def _name_classes(model: ModelProto, spec: Spec, *, label: str) -> None:
    """Turn the int64 class code into the class's text."""
    for node in model.graph.node:
        node.output[:] = [_CODE if name == label else name for name in node.output]
        node.input[:] = [_CODE if name == label else name for name in node.input]
    names = [name.encode() for name in spec.label.classes]
    model.graph.initializer.append(helper.make_tensor(_NAMES, TensorProto.STRING, [len(names)], names))  # type: ignore[arg-type]
    model.graph.node.append(helper.make_node("Gather", [_NAMES, _CODE], ["label"], name="slipway_label"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("label", TensorProto.STRING, [None]))


def _rename_probabilities(model: ModelProto, name: str) -> None:
    for node in model.graph.node:
        node.output[:] = ["probabilities" if n == name else n for n in node.output]
        node.input[:] = ["probabilities" if n == name else n for n in node.input]
    model.graph.output[1].name = "probabilities"
