"""Rows to requests, after the model's own metadata. No I/O."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from slipway import tensors
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import ModelInferRequest
from slipway.signature import FEATURES, TensorSpec
from slipway.tensors import Array

Value: TypeAlias = float | str | None


class Table(Protocol):
    """A pandas or polars data frame."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    def __getitem__(self, name: str) -> Any:
        """One column."""


Rows: TypeAlias = "Table | Array | Mapping[str, Any] | Sequence[Any]"

COLUMNS: Final = "slipway_columns"
MAX_ROWS: Final = "slipway_max_rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """What a model takes: its tensors, and the names of its columns where they are known."""

    model: str
    tensors: tuple[TensorSpec, ...]
    columns: tuple[str, ...]
    max_rows: int = 0  # of one request; 0 where the server does not tell

    @property
    def is_matrix(self) -> bool:
        """Whether all columns travel in one tensor."""
        return len(self.tensors) == 1 and self.tensors[0].name == FEATURES

    @property
    def width(self) -> int:
        """How many columns a row has."""
        return self.tensors[0].shape[-1] if self.is_matrix else len(self.tensors)


def encode_rows(inputs: ModelInputs, rows: Rows) -> ModelInferRequest:
    """A request for a data frame, a list of dicts, one dict, or an array in the model's column order.

    Raises:
        InvalidInput: A column is missing or unknown, or a value is not of its type.
    """
    columns = _columns(inputs, rows)
    if len(columns) != inputs.width or any(len(column) == 0 for column in columns):
        raise InvalidInput(
            f"{inputs.model} takes at least one row of {inputs.width} columns, got {len(columns)} columns"
        )
    return _request(inputs, columns)


def encode_row(inputs: ModelInputs, values: Sequence[Value]) -> ModelInferRequest:
    """A request for one row in the model's column order: the fast path.

    Raises:
        InvalidInput: Too few or too many values, or one of the wrong type.
    """
    if len(values) != inputs.width:
        raise InvalidInput(f"{inputs.model} takes {inputs.width} values, got {len(values)}")
    if not inputs.is_matrix:
        return _request(inputs, [[value] for value in values])
    try:
        raw = struct.pack(f"<{len(values)}f", *values)
    except (struct.error, OverflowError) as error:
        raise InvalidInput(f"{inputs.model}: {list(values)!r} are not all numbers") from error
    tensor = ModelInferRequest.InferInputTensor(name=FEATURES, datatype="FP32", shape=(1, len(values)))
    return ModelInferRequest(model_name=inputs.model, inputs=[tensor], raw_input_contents=[raw])


def _columns(inputs: ModelInputs, rows: Any) -> list[Any]:
    if hasattr(rows, "columns"):
        names = [str(name) for name in rows.columns]
        return [rows[name] for name in _ordered(inputs, names)]
    if isinstance(rows, Mapping):
        rows = [rows]
    if len(rows) and all(isinstance(row, Mapping) for row in rows):
        order = _ordered(inputs, list(rows[0]))
        if any(set(row) != set(order) for row in rows):
            raise InvalidInput(f"{inputs.model}: every row needs the columns {', '.join(order)}")
        return [[row[name] for row in rows] for name in order]
    matrix = rows if isinstance(rows, np.ndarray) else np.array(rows, dtype=object)
    return list(np.atleast_2d(matrix).T)


def _ordered(inputs: ModelInputs, names: list[str]) -> Sequence[str]:
    """The model's column order; the given one where the server does not tell names."""
    if not inputs.columns:
        return names
    if set(names) != set(inputs.columns):
        missing, unknown = set(inputs.columns) - set(names), set(names) - set(inputs.columns)
        raise InvalidInput(
            f"{inputs.model}: missing columns {sorted(missing)}, unknown ones {sorted(unknown)}"
        )
    return inputs.columns


def _request(inputs: ModelInputs, columns: Sequence[Any]) -> ModelInferRequest:
    if inputs.is_matrix:
        matrix = np.stack([_numbers(inputs, at, column) for at, column in enumerate(columns)], axis=1)
        arrays = [matrix]
    else:
        arrays = [
            (_texts(column) if spec.datatype == "BYTES" else _numbers(inputs, at, column)).reshape(-1, 1)
            for at, (spec, column) in enumerate(zip(inputs.tensors, columns, strict=True))
        ]
    request = ModelInferRequest(model_name=inputs.model)
    for spec, array in zip(inputs.tensors, arrays, strict=True):
        request.inputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        request.raw_input_contents.append(tensors.to_raw(array))
    return request


def _numbers(inputs: ModelInputs, at: int, column: Any) -> Array:
    try:
        return np.asarray(column, dtype=np.float32)  # None becomes NaN
    except (TypeError, ValueError) as error:
        name = inputs.columns[at] if inputs.columns else f"number {at}"
        raise InvalidInput(f"{inputs.model}: column {name} is not numeric: {error}") from error


def _texts(column: Any) -> Array:
    """Categories as text; None and NaN, which alone differs from itself, are the empty one."""
    return np.array(["" if value is None or value != value else str(value) for value in column], dtype=object)
