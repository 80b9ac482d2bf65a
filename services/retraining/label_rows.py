"""A label event as a row that can be learned from."""

import math
from typing import Any

import numpy as np

from services.retraining.store.examples import StoredExample
from slipway.errors import InvalidInput
from slipway.signature import FEATURES
from slipway.spec import Spec
from slipway.spec_sections import Feature
from slipway.tensors import Array, from_tensor
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted


def matched(message: LabelMatched, spec: Spec) -> StoredExample:
    """The row of a label.

    Raises:
        InvalidInput: A class that the spec does not have, or inputs that do not fit it.
    """
    if spec.is_classifier and message.label not in spec.label.classes:
        raise InvalidInput(
            f"{message.prediction_id}: label {message.label!r} of model {spec.name} is none of its classes "
            f"{', '.join(spec.label.classes)}"
        )
    values = _values({t.name: from_tensor(t) for t in message.inputs}, spec, message.prediction_id)
    kinds = {kind: [f for f in spec.features if f.type == kind] for kind in ("numeric", "categorical")}
    return StoredExample(
        model=message.model,
        prediction_id=message.prediction_id,
        row=message.row,
        revision=message.revision,
        label=message.label,
        numbers=_numbers([values[f.name] for f in kinds["numeric"]], message.prediction_id),
        texts=tuple(_text(values[f.name]) for f in kinds["categorical"]),
        version=message.version,
        source=message.source,
        served_at_s=message.served_at.ToNanoseconds() / 1e9,
    )


def retracted(message: LabelRetracted) -> StoredExample:
    """The tombstone of a withdrawn label: what it said is forgotten."""
    return StoredExample(
        model=message.model,
        prediction_id=message.prediction_id,
        row=message.row,
        revision=message.revision,
        label=None,
        numbers=None,
        texts=(),
        version=message.version,
        source=message.source,
        served_at_s=0.0,
    )


def _values(inputs: dict[str, Array], spec: Spec, prediction_id: str) -> dict[str, Any]:
    names = spec.feature_names
    whole = inputs.get(FEATURES)
    if whole is not None and FEATURES not in names:
        if whole.size != len(names):
            raise InvalidInput(
                f"{prediction_id}: `{FEATURES}` has {whole.size} values, "
                f"model {spec.name} has {len(names)} features"
            )
        return dict(zip(names, whole.reshape(-1), strict=True))
    missing = [f.name for f in spec.features if not _is_one(inputs.get(f.name), f)]
    if missing:
        raise InvalidInput(
            f"{prediction_id}: features {', '.join(missing)} of model {spec.name} "
            "are missing, of another type, or not one value each"
        )
    return {name: inputs[name].reshape(-1)[0] for name in names}


def _is_one(array: Array | None, feature: Feature) -> bool:
    return (
        array is not None and array.size == 1 and (array.dtype == object) == (feature.type == "categorical")
    )


def _numbers(values: list[Any], prediction_id: str) -> bytes:
    numbers = np.array(values, dtype="<f4")
    if any(math.isinf(v) for v in numbers):
        raise InvalidInput(f"{prediction_id}: an input is infinite")
    return numbers.tobytes()


def _text(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).replace("\0", "")
