"""Prediction records to the questions that were asked in them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from services.query_watch.domain.scales import to_points
from services.query_watch.domain.watching import Question
from services.query_watch.models import Watched
from slipway.errors import InvalidInput
from slipway.kafka_records import Narrow
from slipway.signature import FEATURES
from slipway.tensors import from_tensor
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.tensors_pb2 import Tensor

_RECORDS: Final = Narrow({PredictionServed: PredictionServed})
_LABEL: Final = "label"
_PROBABILITIES: Final = "probabilities"
_VALUE: Final = "value"
_VALUE_STEPS: Final = 8  # a regressor's answers are told apart by their order of magnitude alone


@dataclass(slots=True, kw_only=True)
class Asked:
    """One record and where it stood."""

    message: PredictionServed
    topic: str
    partition: int
    offset: int


def read_record(source: ConsumerRecord) -> Asked | None:
    """An answered request; None for the other messages of the topic.

    Raises:
        InvalidInput: It cannot be read, or names neither model nor caller.
    """
    message = _RECORDS.read(source)
    if message is None:
        return None
    if not message.context.model or not message.context.principal:
        raise InvalidInput(f"{source.topic}: prediction {message.context.prediction_id!r} names no caller")
    return Asked(message=message, topic=source.topic, partition=source.partition, offset=source.offset)


def questions_of(message: PredictionServed, watched: Watched, *, most: int) -> list[Question]:
    """The rows of a request, evenly thinned where they are too many.

    Args:
        message: The record.
        watched: Its model.
        most: Rows that are looked at.
    Raises:
        InvalidInput: Its tensors are not those of the model.
    """
    inputs = {tensor.name: tensor for tensor in message.payload.inputs}
    if not inputs:
        return []  # sealed: nobody reads it
    points = _points(inputs, watched)
    chosen = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).astype(np.intp))
    answers, margins = _answers(message, watched, rows=len(points))
    scores = list(message.input_scores)
    return [
        Question(
            point=points[at],
            answer=int(answers[at]),
            margin=None if margins is None else float(margins[at]),
            input_score=float(scores[at]) if len(scores) == len(points) else None,
        )
        for at in chosen
    ]


def _points(inputs: dict[str, Tensor], watched: Watched) -> NDArray[np.float32]:
    try:
        if FEATURES in inputs and not watched.categorical:
            numbers = from_tensor(inputs[FEATURES]).reshape(-1, len(watched.numeric))
            return to_points(watched.scales, numbers)
        columns = [from_tensor(inputs[name]).reshape(-1) for name in watched.numeric]
        texts = [_texts(inputs[name]) for name in watched.categorical]
        rows = len(texts[0]) if texts else len(columns[0])
        numbers = np.array(columns, dtype=np.float64).T if columns else np.zeros((rows, 0))
        return to_points(watched.scales, numbers, texts)
    except (KeyError, ValueError) as error:
        raise InvalidInput(f"a record's inputs are not those of its model's spec: {error!r}") from error


def _texts(tensor: Tensor) -> list[str]:
    return [value.decode("utf-8", "replace") for value in from_tensor(tensor).reshape(-1)]


def _answers(
    message: PredictionServed, watched: Watched, *, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """The class of each row, and by how much it is the likeliest."""
    outputs = {tensor.name: tensor for tensor in message.payload.outputs}
    if _PROBABILITIES in outputs:
        shares: NDArray[Any] = from_tensor(outputs[_PROBABILITIES])
        if shares.ndim == 2 and len(shares) == rows and shares.shape[1] > 1:
            ordered = np.sort(shares.astype(np.float64), axis=1)
            return shares.argmax(axis=1), ordered[:, -1] - ordered[:, -2]
    if _LABEL in outputs:
        known = {name: at for at, name in enumerate(watched.classes)}
        codes = [known.get(text, len(known)) for text in _texts(outputs[_LABEL])]
        if len(codes) == rows:
            return np.array(codes, dtype=np.int64), None
    if _VALUE in outputs:
        values = np.nan_to_num(from_tensor(outputs[_VALUE]).reshape(-1).astype(np.float64))
        if len(values) == rows:
            return np.clip(np.log2(np.abs(values) + 1), 0, _VALUE_STEPS).astype(np.int64), None
    return np.zeros(rows, dtype=np.int64), None
