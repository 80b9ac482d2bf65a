"""Records of `labels` to what a rollout learns from them.

The first label of a row is read. A correction says nothing that both arms could be compared by, as nobody
corrects at random, and a retraction is not taken out again: bets that were played stay played.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from aiokafka import ConsumerRecord

from services.rollout.domain.measurement import Learned, is_in_slice, label_values
from services.rollout.domain.policy import Policy
from slipway.kafka_records import Narrow
from slipway.signature import FEATURES
from slipway.tensors import to_list
from slipway.topics import LABELS
from slipway.v1.feedback_pb2 import LabelMatched, OutcomeMatched

_RECORDS: Final = Narrow({LabelMatched: LabelMatched, OutcomeMatched: OutcomeMatched})
# Answers in place of a version's.
_NO_ARM: Final = frozenset({"cached_answer", "default"})


@dataclass(slots=True, kw_only=True)
class LabelRecord:
    """A record as far as it is read before anybody knows whether it counts."""

    model: str
    message: Any  # a LabelMatched or an OutcomeMatched
    partition: int
    offset: int

    @property
    def source(self) -> str:
        """Topic and partition."""
        return f"{LABELS.name}/{self.partition}"


def read_label(source: ConsumerRecord) -> LabelRecord | None:
    """The record in a message of `labels`; None where it is no first label and no outcome.

    Raises:
        InvalidInput: It cannot be read.
    """
    message = _RECORDS.read(source)
    if message is None:
        return None
    return LabelRecord(model=message.model, message=message, partition=source.partition, offset=source.offset)


def learn(record: LabelRecord, policy: Policy) -> Learned | None:
    """What one record says about a version's answer; None where it says nothing.

    Raises:
        InvalidInput: An input that a slice looks at cannot be read.
    """
    message = record.message
    if message.pinned or not message.version or message.arm in _NO_ARM:
        return None
    is_label = isinstance(message, LabelMatched)
    if is_label and message.revision != 1:
        return None
    values = _label(message, policy) if is_label else _outcome(message)
    if not values:
        return None
    return Learned(
        source=record.source,
        offset=record.offset,
        prediction_id=message.prediction_id,
        version=message.version,
        route_epoch=message.route_epoch,
        unit=message.unit,
        served_s=message.served_at.ToNanoseconds() / 1e9,
        known_s=message.matched_at.ToNanoseconds() / 1e9,
        values=values,
        slices=_slices(message, policy) if is_label else (),
        is_label=is_label,
    )


def _label(message: LabelMatched, policy: Policy) -> dict[str, float]:
    if not policy.is_classifier:
        return {}
    return label_values(
        message.label,
        predicted=message.predicted,
        probabilities=message.probabilities,
        classes=message.classes or policy.classes,
    )


def _outcome(message: OutcomeMatched) -> dict[str, float]:
    kind = message.WhichOneof("outcome")
    if kind == "accepted":
        return {"acceptance": float(not message.accepted)}
    if kind == "business_value" and isfinite(message.business_value):
        return {"value": message.business_value}
    return {}


def _slices(message: LabelMatched, policy: Policy) -> tuple[str, ...]:
    if not policy.slices:
        return ()
    by_name = {tensor.name: to_list(tensor) for tensor in message.inputs}
    whole = by_name.get(FEATURES, [])
    if FEATURES not in policy.features and len(whole) == len(policy.features):
        by_name = {name: [value] for name, value in zip(policy.features, whole, strict=True)}
    return tuple(
        name
        for name, part in policy.slices.items()
        if len(values := by_name.get(part.feature, [])) == 1 and is_in_slice(part, _plain(values[0]))
    )


def _plain(value: Any) -> str | float:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else float(value)
