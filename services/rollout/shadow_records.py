"""Records of `shadow_predictions` to what is counted of them."""

from dataclasses import dataclass
from typing import Any, Final

from aiokafka import ConsumerRecord

from services.rollout.domain.shadow import Answered, ShadowSeen
from services.rollout.records import Answer, Answers, to_latency_s, without_answer
from slipway.errors import InvalidInput
from slipway.kafka_records import Narrow
from slipway.spec import Spec
from slipway.topics import SHADOW_PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionShadowed

_RECORDS: Final = Narrow({PredictionShadowed: PredictionShadowed})


@dataclass(slots=True, kw_only=True)
class ShadowRecord:
    """A record as it came."""

    model: str
    message: Any  # a PredictionShadowed
    partition: int
    offset: int


def read_shadow(source: ConsumerRecord) -> ShadowRecord:
    """The record in a message of `shadow_predictions`.

    Raises:
        InvalidInput: It cannot be read.
    """
    message = _RECORDS.read(source)
    return ShadowRecord(
        model=message.context.model, message=message, partition=source.partition, offset=source.offset
    )


class ShadowAnswers:
    """What the records of one model say, by its spec."""

    def __init__(self, spec: Spec) -> None:
        self._answers = Answers(spec)
        self._max_latency_s = spec.rollout.max_latency_ms / 1000

    def observe(self, record: ShadowRecord) -> ShadowSeen:
        """What one record says."""
        message = record.message
        context = message.context
        outcome, answer = self._judge(message)
        given = tuple(message.served) if len(message.served) == len(answer.texts) else ()
        return ShadowSeen(
            source=f"{SHADOW_PREDICTIONS.name}/{record.partition}",
            offset=record.offset,
            prediction_id=context.prediction_id,
            version=message.version,
            route_epoch=context.route_epoch,
            rows=max(1, context.rows),
            latency_s=to_latency_s(message.latency_s),
            outcome=outcome,
            compared=len(given),
            agreed=sum(one == other for one, other in zip(given, answer.texts, strict=False)),
            answers=answer.texts,
            unit=context.unit,
            is_pinned=context.pinned,
            reason=answer.fault,
        )

    def _judge(self, message: PredictionShadowed) -> tuple[Answered, Answer]:
        if message.code:
            return "failed", without_answer(f"{message.code}: {message.message}")
        try:
            answer = self._answers.read_outputs(message.payload.SerializeToString())
        except InvalidInput as error:
            return "malformed", without_answer(str(error))
        return ("slow" if message.latency_s > self._max_latency_s else "good"), answer
