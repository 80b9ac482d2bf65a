"""A PredictionServed taken apart into what is kept of it: its context, and each row by itself."""

from dataclasses import dataclass
from typing import Any, Final

from services.feedback.domain.ledger import Prediction
from slipway import tensors
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.tensors import Array
from slipway.tokens import Owner
from slipway.v1.predictions_pb2 import PredictionContext
from slipway.v1.tensors_pb2 import Payload, Tensor

_ANSWERS: Final = ("label", "value")
_PROBABILITIES: Final = "probabilities"
_LATEST_S: Final = 2**33  # in 2242: any horizon from there still lies in the calendar
_LARGEST: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRow:
    """One row: the answer, and the inputs it was given for, as a Payload of its own."""

    predicted: str
    probabilities: list[float]
    inputs: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One served request and where its record lies in the topic."""

    prediction: Prediction
    context: Any  # PredictionContext
    rows: tuple[RecordedRow, ...]
    partition: int
    offset: int

    @property
    def served_at_s(self) -> float:
        """When it was answered, in seconds since 1970."""
        stamp = self.context.served_at
        return float(stamp.seconds + stamp.nanos / 1e9)


def read_record(event: Event) -> Record:
    """Take one record apart.

    Raises:
        InvalidInput: The record contradicts itself; it cannot be joined by anybody.
    """
    context, payload = event.message.context, event.message.payload
    _check(context)
    return Record(
        prediction=Prediction(
            prediction_id=context.prediction_id,
            owner=Owner(context.tenant, context.principal),
            model=context.model,
            rows=context.rows,
        ),
        context=context,
        rows=_rows(payload, context.rows),
        partition=event.partition,
        offset=event.offset,
    )


def _check(context: PredictionContext) -> None:
    if not context.prediction_id or len(context.prediction_id) > 128:
        raise InvalidInput(f"prediction record with the id {context.prediction_id[:80]!r}")
    if any("\0" in value for _, value in context.ListFields() if isinstance(value, str)):
        raise InvalidInput(f"prediction {context.prediction_id!r}: a text field contains the character NUL")
    if not 0 < context.served_at.seconds < _LATEST_S or context.route_epoch >= _LARGEST:
        raise InvalidInput(f"prediction {context.prediction_id!r}: served_at or route_epoch is out of range")


def _rows(payload: Payload, count: int) -> tuple[RecordedRow, ...]:
    inputs = [_split(tensor, count) for tensor in payload.inputs]
    outputs = {tensor.name: _array(tensor, count) for tensor in payload.outputs}
    predicted = next((_texts(outputs[name]) for name in _ANSWERS if name in outputs), [""] * count)
    probabilities = _numbers(outputs.get(_PROBABILITIES), count)
    return tuple(
        RecordedRow(
            predicted=predicted[row],
            probabilities=probabilities[row],
            inputs=Payload(inputs=[parts[row] for parts in inputs]).SerializeToString(),
        )
        for row in range(count)
    )


def _texts(answers: Array) -> list[str]:
    if answers.size != answers.shape[0]:
        raise InvalidInput(f"the answer has shape {list(answers.shape)}; one value a row is needed")
    return [_text(value) for value in answers.ravel()]


def _numbers(probabilities: Array | None, count: int) -> list[list[float]]:
    if probabilities is None:
        return [[] for _ in range(count)]
    if probabilities.dtype.kind != "f":
        raise InvalidInput(f"probabilities have dtype {probabilities.dtype}; floating point is needed")
    return [[float(p) for p in row.ravel()] for row in probabilities]


def _array(tensor: Tensor, count: int) -> Array:
    array = tensors.from_tensor(tensor)
    if array.ndim == 0 or array.shape[0] != count:
        raise InvalidInput(f"tensor {tensor.name!r}: shape {list(array.shape)} in a record of {count} rows")
    return array


def _split(tensor: Tensor, count: int) -> list[Tensor]:
    array = _array(tensor, count)
    if count == 1:
        return [tensor]
    if tensor.datatype == "BYTES":
        return [tensors.to_tensor(tensor.name, array[row : row + 1]) for row in range(count)]
    size = len(tensor.raw) // count
    return [
        Tensor(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=[1, *tensor.shape[1:]],
            raw=tensor.raw[row * size : (row + 1) * size],
        )
        for row in range(count)
    ]


def _text(value: Any) -> str:
    """A class's bytes as text; a number by its shortest text, as numpy writes it."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "")
