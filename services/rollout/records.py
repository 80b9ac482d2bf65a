"""Prediction records to what the rollout counts in them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NamedTuple

from aiokafka import ConsumerRecord
from google.protobuf.message import DecodeError

from services.rollout.domain.observation import Observation, Outcome
from slipway.errors import InvalidInput
from slipway.kafka_records import Narrow
from slipway.spec import Spec
from slipway.tensors import to_list
from slipway.topics import PREDICTIONS
from slipway.v1.prediction_views_pb2 import AnswerView, ServedView
from slipway.v1.predictions_pb2 import (
    PredictionFailed,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)

Classes = tuple[tuple[str, int], ...]

_LABEL: Final = "label"
_ABSTAINED: Final = "abstained"
_FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
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


class Answer(NamedTuple):
    """What a payload's outputs say; a tuple, as it is made for every prediction.

    Attributes:
        texts: The answered class of each row; empty for regressors.
        has_abstained: Whether a row abstained; None where the version has no such output.
        fault: Why there is no usable answer, in words.
    """

    classes: Classes = ()
    texts: tuple[str, ...] = ()
    has_abstained: bool | None = None
    fault: str = ""


NO_ANSWER: Final = Answer()
_FAULT_CHARACTERS: Final = 200


def without_answer(fault: str) -> Answer:
    """Nothing that could be used, and why."""
    return Answer(fault=fault[:_FAULT_CHARACTERS])


class Answers:
    """What the records of one model say, by its spec.

    Args:
        spec: Classes and the longest latency are looked up once for many records.
    """

    def __init__(self, spec: Spec) -> None:
        self._classes = frozenset(spec.label.classes) if spec.is_classifier else None
        self._max_latency_s = spec.rollout.max_latency_ms / 1000

    def observe(self, record: ArmRecord) -> Observation:
        """What one record says.

        Raises:
            InvalidInput: Its payload cannot be read.
        """
        message = record.message
        context = message.context
        outcome, answer = self._judge(message)
        return Observation(
            source=f"{PREDICTIONS.name}/{record.partition}",
            offset=record.offset,
            version=context.intended_version or context.version,
            route_epoch=context.route_epoch,
            rows=max(1, context.rows),
            served_s=context.served_at.seconds,
            outcome=outcome,
            is_computed=not context.cache,
            classes=answer.classes,
            prediction_id=context.prediction_id,
            unit=context.unit,
            is_pinned=context.pinned,
            latency_s=to_latency_s(context.latency_s),
            input_score=_input_score(message),
            has_abstained=_has_abstained(message, answer),
            fault=answer.fault,
        )

    def _judge(self, message: Any) -> tuple[Outcome, Answer]:
        if isinstance(message, _ABOUT_RECORDS):
            return "ignored", NO_ANSWER  # the version did its work
        if isinstance(message, PredictionFailed):
            outcome: Outcome = "ignored" if message.code in _IGNORED_CODES else "failed"
            return outcome, without_answer(f"{message.code}: {message.message}")
        context = message.context
        if context.degraded:
            # Something else answered, because the version that was meant could not.
            why = context.degraded_reason or "it gave no answer"
            return "failed", without_answer(f"{why}; {context.degraded} answered in its place")
        try:
            answer = self.read_outputs(message.payload)
        except DecodeError as error:
            raise InvalidInput(f"prediction {context.prediction_id!r}: not a Payload: {error}") from error
        except InvalidInput as error:
            return "malformed", without_answer(str(error))
        # How soon the cache answers, or how late, says nothing about the version.
        is_slow = not context.cache and context.latency_s > self._max_latency_s
        return ("slow" if is_slow else "good"), answer

    def read_outputs(self, payload: bytes) -> Answer:
        """What was answered.

        Raises:
            InvalidInput: NaN, a class that the spec does not list, or bytes that are no tensor.
        """
        answer = NO_ANSWER
        for tensor in AnswerView.FromString(payload).outputs:
            values = to_list(tensor)
            if tensor.name == _LABEL and self._classes is not None:
                texts = [v.decode("utf-8", "replace") for v in values]
                answer = Answer(_count(texts), tuple(texts), answer.has_abstained)
                if unknown := set(texts) - self._classes:
                    raise InvalidInput(f"the answer {min(unknown)!r} is not one of the spec's classes")
            elif tensor.datatype in _FLOATS and any(value != value for value in values):
                raise InvalidInput(f"output {tensor.name} has NaN")
            elif tensor.datatype == "BOOL" and tensor.name == _ABSTAINED:
                answer = Answer(answer.classes, answer.texts, any(values))
        return answer


def _input_score(message: Any) -> float | None:
    if not isinstance(message, ServedView) or not message.input_scores:
        return None
    furthest = max(message.input_scores)
    return furthest if isfinite(furthest) else None


def _has_abstained(message: Any, answer: Answer) -> bool | None:
    """By the defence in front of the version, or by an output of its own."""
    if isinstance(message, ServedView) and message.abstained:
        return any(message.abstained) or bool(answer.has_abstained)
    return answer.has_abstained


def to_latency_s(latency_s: float) -> float:
    """A latency that can be counted; what is none took no time."""
    return latency_s if isfinite(latency_s) and latency_s > 0 else 0.0


def _count(answers: Sequence[str]) -> Classes:
    if len(answers) == 1:
        return ((answers[0], 1),)
    return tuple(sorted(Counter(answers).items()))
