"""Prediction records to what the rollout counts in them."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from aiokafka import ConsumerRecord
from google.protobuf.message import DecodeError

from services.rollout.domain.observation import Observation, Outcome
from slipway.errors import InvalidInput
from slipway.kafka_records import Narrow
from slipway.spec import Spec
from slipway.tensors import from_tensor
from slipway.topics import PREDICTIONS
from slipway.v1.prediction_views_pb2 import AnswerView, ServedView
from slipway.v1.predictions_pb2 import (
    PredictionFailed,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)

_LABEL: Final = "label"
# The client went away: nothing the version did.
_IGNORED_CODES: Final = frozenset({"CANCELLED"})
_ABOUT_RECORDS: Final = (PredictionWithheld, PredictionsUnrecorded)
_RECORDS: Final = Narrow(
    {
        PredictionServed: ServedView,
        PredictionFailed: PredictionFailed,
        **{kind: kind for kind in _ABOUT_RECORDS},
    }
)


# Not frozen, as it is made for every prediction: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class ArmRecord:
    """A record as far as it is read before anybody knows whether it counts."""

    model: str
    message: Any  # a ServedView, or another message of the topic as it is
    partition: int
    offset: int


def read_record(source: ConsumerRecord) -> ArmRecord:
    """The record in a message of `predictions`.

    Raises:
        InvalidInput: It cannot be read.
    """
    message = _RECORDS.read(source)
    return ArmRecord(
        model=message.context.model, message=message, partition=source.partition, offset=source.offset
    )


def observe_record(record: ArmRecord, spec: Spec) -> Observation:
    """What one record says.

    Raises:
        InvalidInput: Its payload cannot be read.
    """
    context = record.message.context
    outcome, classes = _judge(record.message, spec)
    return Observation(
        source=f"{PREDICTIONS.name}/{record.partition}",
        offset=record.offset,
        version=context.intended_version or context.version,
        route_epoch=context.route_epoch,
        rows=max(1, context.rows),
        served_s=context.served_at.seconds,
        outcome=outcome,
        is_computed=not context.cache,
        classes=classes,
    )


def _judge(message: Any, spec: Spec) -> tuple[Outcome, tuple[tuple[str, int], ...]]:
    if isinstance(message, _ABOUT_RECORDS):
        return "ignored", ()  # the version did its work
    if isinstance(message, PredictionFailed):
        return ("ignored" if message.code in _IGNORED_CODES else "failed"), ()
    context = message.context
    if context.degraded:
        return "failed", ()  # something else answered, because the version that was meant could not
    try:
        counts = _read_outputs(message.payload, spec)
    except DecodeError as error:
        raise InvalidInput(f"prediction {context.prediction_id!r}: not a Payload: {error}") from error
    except InvalidInput:
        return "malformed", ()
    # How soon the cache answers, or how late, says nothing about the version.
    is_slow = not context.cache and context.latency_s * 1000 > spec.rollout.max_latency_ms
    return ("slow" if is_slow else "good"), tuple(sorted(counts.items()))


def _read_outputs(payload: bytes, spec: Spec) -> Counter[str]:
    """Answered classes and how often.

    Raises:
        InvalidInput: NaN, a class that the spec does not list, or bytes that are no tensor.
    """
    counts: Counter[str] = Counter()
    for tensor in AnswerView.FromString(payload).outputs:
        values = from_tensor(tensor).reshape(-1)
        if tensor.name == _LABEL and spec.is_classifier:
            counts.update([v.decode("utf-8", "replace") for v in values.tolist()])
        elif values.dtype.kind == "f" and bool(np.isnan(values).any()):
            raise InvalidInput(f"output {tensor.name} has NaN")
    if not counts.keys() <= set(spec.label.classes):
        unknown = min(counts.keys() - set(spec.label.classes))
        raise InvalidInput(f"the answer {unknown!r} is not one of the spec's classes")
    return counts
