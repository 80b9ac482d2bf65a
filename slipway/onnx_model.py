"""An ONNX model under the signature of its spec: what is accepted, how it answers, what is wrong with it.

Inputs: one float tensor [n, F] of any name where all features are numeric, else one tensor [n, 1] or [n]
per feature, named like it. Outputs of a classifier: `probabilities` [n, C], with or without a label
(int64 or string) [n]; of a regressor: one number per row. skl2onnx needs `options={"zipmap": False}`.

Columns of `probabilities` stand in the order of the model's own classes: the metadata property
`slipway.classes` (a JSON list), else the labels sorted as scikit-learn does where the model gives
labels, else the order of the spec.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnxruntime
import orjson
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from slipway.errors import InvalidInput
from slipway.onnx_graph import NUMBERS, TEXT, feeds_whole, match_outputs
from slipway.signature import FEATURES, Signature, signature_of
from slipway.spec import Spec
from slipway.tensors import Array

CLASSES_PROPERTY: Final = "slipway.classes"
_ORT_ERRORS: Final = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_SUM_TOLERANCE: Final = 1e-3  # float32 sums of a few hundred classes stay well below


class OnnxModel:
    """A loaded model that takes and gives what the spec's signature says."""

    def __init__(self, onnx: bytes, spec: Spec) -> None:
        """Load the model and match its inputs and outputs to the spec.

        Raises:
            InvalidInput: Not an ONNX model that can run here, or not one of this signature.
        """
        self._spec = spec
        self.signature: Signature = signature_of(spec)
        self._session = _session(onnx)
        self._inputs = {i.name: i for i in self._session.get_inputs()}
        self.feeds_whole = feeds_whole(self._inputs, spec)
        self._outputs = match_outputs(self._session.get_outputs(), spec)
        self._classes = np.array(spec.label.classes, dtype=object)
        self._position = {name: i for i, name in enumerate(spec.label.classes)}
        self._columns = self._column_order() if spec.is_classifier else np.empty(0, dtype=np.intp)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer rows.

        Args:
            inputs: The signature's tensors by name; texts as `str` or `bytes`.
        Returns:
            `label` (texts, shape [n]) and `probabilities` (float32, [n, C], columns in the order of
            the spec's classes), or `value` (float32, [n]).
        Raises:
            InvalidInput: A tensor is missing, the model cannot take the values, or it answers with a
                label that the spec does not have.
        """
        names = self._outputs.names
        try:
            answers = self._session.run(names, self._feed(inputs))
        except _ORT_ERRORS as error:
            raise InvalidInput(f"model {self._spec.name}: cannot run: {_first_line(error)}") from error
        by_name = dict(zip(names, answers, strict=True))
        rows = next(iter(inputs.values())).shape[0]
        if not self._spec.is_classifier:
            return {"value": _shaped(by_name[self._outputs.value], (rows,), "value")}
        return self._classified(by_name, rows)

    def check(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Try the model on sample rows; returns its answers.

        Raises:
            InvalidInput: Answers are not finite, are no probabilities, or their columns do not fit the
                labels given beside them.
        """
        answers = self.predict(inputs)
        numbers = answers["probabilities" if self._spec.is_classifier else "value"]
        if not np.isfinite(numbers).all():
            raise InvalidInput(f"model {self._spec.name}: answers NaN or infinity to a sample row")
        if self._spec.is_classifier:
            self._check_probabilities(numbers)
            if self._outputs.label:
                self._check_columns(answers["label"], numbers)
        return answers

    def probe(self) -> dict[str, Array]:
        """One row of plausible values (the middle of the ranges, first categories) for a warm-up."""
        values: dict[str, Any] = {}
        for feature in self._spec.features:
            if feature.type == "numeric":
                values[feature.name] = np.float32(sum(feature.range) / 2 if feature.range else 0.0)
            else:
                values[feature.name] = feature.categories[0] if feature.categories else ""
        if self.signature.inputs[0].name == FEATURES:
            return {FEATURES: np.array([list(values.values())], dtype=np.float32)}
        return {
            name: np.array([[value]], dtype=object if isinstance(value, str) else np.float32)
            for name, value in values.items()
        }

    def _feed(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        missing = [t.name for t in self.signature.inputs if t.name not in inputs]
        if missing:
            raise InvalidInput(f"model {self._spec.name}: tensors {', '.join(missing)} are missing")
        if self.feeds_whole:
            return {name: np.asarray(inputs[FEATURES], dtype=np.float32) for name in self._inputs}
        columns = _columns_of(inputs, self._spec)
        return {name: _as_input(columns[name], wanted) for name, wanted in self._inputs.items()}

    def _classified(self, by_name: Mapping[str, Array], rows: int) -> dict[str, Array]:
        shape = (rows, len(self._classes))
        raw = _shaped(by_name[self._outputs.probabilities], shape, "probabilities")
        probabilities = np.ascontiguousarray(raw[:, self._columns])
        if not self._outputs.label:
            labels = self._classes[probabilities.argmax(axis=1)]
        else:
            labels = self._texts(by_name[self._outputs.label].reshape(-1))
        return {"label": labels, "probabilities": probabilities}

    def _texts(self, labels: Array) -> Array:
        texts = [_text(label) for label in labels]
        strange = set(texts) - self._position.keys()
        if strange:
            raise InvalidInput(
                f"model {self._spec.name}: answers label {sorted(strange)[0]!r}, "
                f"but the spec has the classes {', '.join(self._position)}"
            )
        return np.array(texts, dtype=object)

    def _column_order(self) -> NDArray[np.intp]:
        """For each class of the spec, the model's column that holds its probability."""
        stated = self._session.get_modelmeta().custom_metadata_map.get(CLASSES_PROPERTY)
        if stated is not None:
            own = _stated_classes(stated, self._spec)
        elif self._outputs.label:
            kind = next(o.type for o in self._session.get_outputs() if o.name == self._outputs.label)
            own = _sorted_classes(self._spec, as_text=kind == TEXT)
        else:
            own = list(self._spec.label.classes)
        return np.array([own.index(name) for name in self._spec.label.classes], dtype=np.intp)

    def _check_probabilities(self, probabilities: Array) -> None:
        sums = probabilities.sum(axis=1)
        worst = float(np.abs(sums - 1).max(initial=0.0))
        if worst > _SUM_TOLERANCE or probabilities.min(initial=0.0) < -_SUM_TOLERANCE:
            raise InvalidInput(
                f"model {self._spec.name}: `{self._outputs.probabilities}` holds no probabilities "
                f"(rows sum up to 1 +- {worst:.3g}); export probabilities, not scores"
            )

    def _check_columns(self, labels: Array, probabilities: Array) -> None:
        """Rows labelled c must have more of c than the others: true for any monotone decision rule."""
        for at, name in enumerate(self._classes):
            chosen = labels == name
            if chosen.all() or not chosen.any():
                continue
            if probabilities[chosen, at].mean() < probabilities[~chosen, at].mean():
                raise InvalidInput(
                    f"model {self._spec.name}: the column taken for class {name!r} does not fit its labels; "
                    f"name the model's order of classes in the metadata property {CLASSES_PROPERTY}"
                )


def _session(onnx: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # arenas of many small replicas add up
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        raise InvalidInput(f"not an ONNX model that can run here: {_first_line(error)}") from error


def _columns_of(inputs: Mapping[str, Array], spec: Spec) -> dict[str, Array]:
    """One array [n, 1] per feature, whichever way the signature packs them."""
    if FEATURES in inputs and FEATURES not in spec.feature_names:
        whole = inputs[FEATURES]
        return {name: whole[:, at : at + 1] for at, name in enumerate(spec.feature_names)}
    return {name: inputs[name].reshape(-1, 1) for name in spec.feature_names}


def _as_input(column: Array, wanted: Any) -> Array:
    shaped = column.reshape(-1) if len(wanted.shape) == 1 else column
    if wanted.type == TEXT:
        return np.array([_text(v) for v in shaped.reshape(-1)], dtype=object).reshape(shaped.shape)
    return np.ascontiguousarray(shaped, dtype=NUMBERS[wanted.type])


def _shaped(array: Array, shape: tuple[int, ...], name: str) -> Array:
    if array.size != np.prod(shape):
        raise InvalidInput(f"the model's `{name}` has shape {list(array.shape)}, not {list(shape)}")
    return np.asarray(array, dtype=np.float32).reshape(shape)


def _stated_classes(stated: str, spec: Spec) -> list[str]:
    try:
        own = [str(name) for name in orjson.loads(stated)]
    except (orjson.JSONDecodeError, TypeError) as error:
        raise InvalidInput(f"metadata property {CLASSES_PROPERTY}={stated!r} is not a JSON list") from error
    if sorted(own) != sorted(spec.label.classes):
        raise InvalidInput(
            f"model {spec.name}: {CLASSES_PROPERTY} lists {', '.join(own)}, "
            f"the spec has {', '.join(spec.label.classes)}"
        )
    return own


def _sorted_classes(spec: Spec, *, as_text: bool) -> list[str]:
    if as_text:
        return sorted(spec.label.classes)
    try:
        return sorted(spec.label.classes, key=int)
    except ValueError as error:
        raise InvalidInput(
            f"model {spec.name}: the model answers integer labels, "
            f"but the spec has the classes {', '.join(spec.label.classes)}"
        ) from error


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
