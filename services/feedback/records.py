"""A PredictionServed taken apart into what is kept of it: whose it is, and each row by itself."""

from dataclasses import dataclass
from typing import Any, Final

from aiokafka import ConsumerRecord
from google.protobuf.message import DecodeError

from slipway import tensors
from slipway.errors import InvalidInput
from slipway.kafka_records import Narrow
from slipway.tokens import Owner
from slipway.v1.prediction_views_pb2 import PayloadView, ServedView
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.tensors_pb2 import Payload, Tensor

_ANSWERS: Final = ("label", "value")
_PROBABILITIES: Final = "probabilities"
_LATEST_S: Final = 2**33  # in 2242: any horizon from there still lies in the calendar
_LARGEST: Final = 2**63
_SERVED: Final = Narrow({PredictionServed: ServedView})


# Not frozen, as they are made for every prediction: that would triple their cost.
@dataclass(slots=True, kw_only=True)
class RecordedRow:
    """One row: the answer, and the inputs it was given for, as a Payload of its own."""

    predicted: str
    probabilities: list[float]
    inputs: bytes


@dataclass(slots=True, kw_only=True)
class Record:
    """One served request and where its record lies in the topic."""

    prediction_id: str
    tenant: str
    principal: str
    model: str
    version: str
    digest: str
    arm: str
    business_key: str
    unit: str  # what sticks to an arm; empty where it is the prediction id
    is_pinned: bool  # the caller chose the version
    route_epoch: int
    served_at_s: float
    rows: list[RecordedRow]
    partition: int
    offset: int

    @property
    def owner(self) -> Owner:
        """Whom it was served to."""
        return Owner(self.tenant, self.principal)


def read_record(source: ConsumerRecord) -> Record | None:
    """Take one record of `predictions` apart; None for a failure, which nobody labels.

    Raises:
        InvalidInput: It cannot be read, or contradicts itself, and can be joined by nobody.
    """
    served = _SERVED.read(source)
    if served is None:
        return None
    record = _without_rows(served.context, source)
    record.rows = _rows(served.payload, _row_count(served.context))
    return record


def _without_rows(context: Any, source: ConsumerRecord) -> Record:
    stamp = context.served_at
    record = Record(
        prediction_id=context.prediction_id,
        tenant=context.tenant,
        principal=context.principal,
        model=context.model,
        version=context.version,
        digest=context.digest,
        arm=context.arm,
        business_key=context.business_key,
        unit=context.unit,
        is_pinned=context.pinned,
        route_epoch=context.route_epoch,
        served_at_s=stamp.seconds + stamp.nanos / 1e9,
        rows=[],
        partition=source.partition,
        offset=source.offset,
    )
    _check(record)
    return record


def _check(record: Record) -> None:
    identity = record.prediction_id
    if not identity or len(identity) > 128:
        raise InvalidInput(f"prediction record with the id {identity[:80]!r}")
    named = (identity, record.tenant, record.principal, record.model, record.version)
    if "\0" in "".join((*named, record.digest, record.arm, record.business_key, record.unit)):
        raise InvalidInput(f"prediction {identity!r}: a text field contains the character NUL")
    if not 1 <= record.served_at_s < _LATEST_S or record.route_epoch >= _LARGEST:
        raise InvalidInput(f"prediction {identity!r}: served_at or route_epoch is out of range")


def _row_count(context: Any) -> int:
    if not context.rows:
        raise InvalidInput(f"prediction {context.prediction_id!r} has no row")
    return int(context.rows)


def _rows(payload: bytes, count: int) -> list[RecordedRow]:
    try:
        view = PayloadView.FromString(payload)
        inputs = _inputs(view, payload, count)
    except DecodeError as error:
        raise InvalidInput(f"not a Payload: {error}") from error
    outputs = {tensor.name: tensor for tensor in view.outputs}
    answer = next((outputs[name] for name in _ANSWERS if name in outputs), None)
    predicted = _texts(answer, count) if answer else [""] * count
    probabilities = _numbers(outputs.get(_PROBABILITIES), count)
    return [
        RecordedRow(predicted=predicted[row], probabilities=probabilities[row], inputs=inputs[row])
        for row in range(count)
    ]


def _inputs(view: PayloadView, payload: bytes, count: int) -> list[bytes]:
    """The inputs of each row; those of an only row are left as they are."""
    if count == 1:
        return [PayloadView(inputs=view.inputs).SerializeToString()]
    split = [_split(tensor, count) for tensor in Payload.FromString(payload).inputs]
    return [Payload(inputs=[parts[row] for parts in split]).SerializeToString() for row in range(count)]


def _texts(answer: Tensor, count: int) -> list[str]:
    _check_rows(answer, count)
    values = tensors.to_list(answer)
    if len(values) != count:
        raise InvalidInput(f"the answer has shape {list(answer.shape)}; one value a row is needed")
    if answer.datatype == "BYTES":
        return [value.decode("utf-8", "replace").replace("\0", "") for value in values]
    # The shortest text of a number is that of its own precision.
    return [str(value) for value in tensors.from_tensor(answer).ravel()]


def _numbers(probabilities: Tensor | None, count: int) -> list[list[float]]:
    if probabilities is None:
        return [[] for _ in range(count)]
    if not probabilities.datatype.startswith("FP"):
        raise InvalidInput(f"probabilities have datatype {probabilities.datatype}; floating point is needed")
    _check_rows(probabilities, count)
    values = tensors.to_list(probabilities)
    width = len(values) // count
    return [values[row * width : (row + 1) * width] for row in range(count)]


def _check_rows(tensor: Tensor, count: int) -> None:
    if not tensor.shape or tensor.shape[0] != count:
        raise InvalidInput(f"tensor {tensor.name!r}: shape {list(tensor.shape)} in a record of {count} rows")


def _split(tensor: Tensor, count: int) -> list[Tensor]:
    _check_rows(tensor, count)
    array = tensors.from_tensor(tensor)
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
