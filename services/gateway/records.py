"""What is kept of a prediction: one record for each answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.domain.batching import Columns
from services.gateway.domain.checks import CheckedInput
from services.gateway.domain.coding import encode as encode_bins
from services.gateway.domain.contract import Contract
from services.gateway.domain.defending import REVIEW, Defended, Guard, strongest
from services.gateway.domain.routing import Arm
from services.gateway.record_form import RecordForm
from services.gateway.spool import pack
from slipway.envelope import Outgoing, attributes, encode
from slipway.identity.caller import Caller
from slipway.policy.engine import Decision
from slipway.topics import PREDICTIONS, SHADOW_PREDICTIONS
from slipway.v1.predictions_pb2 import (
    PredictionContext,
    PredictionFailed,
    PredictionServed,
    PredictionShadowed,
    PredictionWithheld,
)
from slipway.v1.tensors_pb2 import Payload, Tensor

SOURCE: Final = "gateway"
EXTRACTION_SUSPECTED: Final = "extraction_suspected"
_MAX_MESSAGE: Final = 1000
_ID, _TIME = "(id)", "(time)"


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Prediction:
    """Who asked whom for what."""

    prediction_id: str
    caller: Caller
    decision: Decision
    arm: Arm
    form: RecordForm
    contract: Contract
    route_epoch: int
    unit: str
    business_key: str
    request_id: str
    checked: CheckedInput
    protocol: str
    is_pinned: bool = False  # the caller named the version or the arm
    degraded: str = ""  # the fallback that answered
    intended_version: str = ""  # in place of which version; empty where none was replaced
    degraded_reason: str = ""  # why that one did not answer
    cached: str = ""  # where the answer lay; empty when it was computed
    guard: Guard | None = None  # what watches over the version that was chosen; None: nothing
    defended: Defended | None = None  # what it found; None: it has not looked yet
    suspicion: str = ""  # the caller seems to copy the model: what is done about it, flag or review
    is_recorded: bool = True  # false: answered without a record, which the spec allows


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowAnswer:
    """What a version in shadow made of a copy; without outputs and with a code where it failed."""

    arm: Arm
    outputs: Columns
    latency_s: float
    code: str = ""
    message: str = ""


def served(prediction: Prediction, outputs: Columns, *, now_s: float, latency_s: float) -> bytes:
    """The record of an answer, packed for the spool."""
    form, checked = prediction.form, prediction.checked
    own = _own_context(prediction, now_s=now_s, latency_s=latency_s)
    parts = [
        _line(prediction.prediction_id, now_s),
        form.context(own, caller=prediction.caller, decision=prediction.decision),
        form.payload(checked.columns, outputs, rows=checked.rows),
        form.feature_bins(encode_bins(form.coder, checked)),
    ]
    if prediction.defended is not None:
        parts.append(_defence(prediction.defended, checked.flags, suspicion=prediction.suspicion))
    elif checked.flags or prediction.suspicion:
        flags = _flags(checked.flags, suspicion=prediction.suspicion)
        parts.append(PredictionServed(flags=flags, defence_action=prediction.suspicion).SerializeToString())
    return b"".join(parts)


def _flags(found: Sequence[str], *, suspicion: str) -> Sequence[str]:
    if not suspicion:
        return found
    added = (EXTRACTION_SUSPECTED, REVIEW) if suspicion == REVIEW else (EXTRACTION_SUSPECTED,)
    return tuple(dict.fromkeys((*found, *added)))


def _defence(found: Defended, flags: Sequence[str], *, suspicion: str) -> bytes:
    return PredictionServed(
        flags=_flags((*flags, *found.flags), suspicion=suspicion),
        input_scores=() if found.scores is None else found.scores.tolist(),
        confidences=() if found.confidences is None else found.confidences.tolist(),
        abstained=bytes(found.abstained),
        defence_action=strongest(found.action, suspicion),
    ).SerializeToString()


def failed(prediction: Prediction, *, code: str, message: str, now_s: float, latency_s: float) -> bytes:
    """The record of a failure that reached an arm, packed for the spool."""
    context = prediction.form.about(prediction.caller, prediction.decision)
    context.MergeFrom(_own_context(prediction, now_s=now_s, latency_s=latency_s))
    record = PredictionFailed(context=context, code=code, message=message[:_MAX_MESSAGE])
    identity = prediction.prediction_id
    return pack(encode(PREDICTIONS.name, record, key=identity, event_id=identity, source=SOURCE))


def withheld(prediction: Prediction, *, code: str, message: str, now_s: float, latency_s: float) -> bytes:
    """What is added to the record of an answer that was not given after all, packed for the spool."""
    context = prediction.form.about(prediction.caller, prediction.decision)
    context.MergeFrom(_own_context(prediction, now_s=now_s, latency_s=latency_s))
    record = PredictionWithheld(context=context, code=code, message=message[:_MAX_MESSAGE])
    identity = prediction.prediction_id
    return pack(
        encode(PREDICTIONS.name, record, key=identity, event_id=f"{identity}/withheld", source=SOURCE)
    )


def shadowed(
    prediction: Prediction, answer: ShadowAnswer, *, served: Sequence[str], served_s: float, latency_s: float
) -> bytes:
    """The record of a copy, packed for the spool.

    Args:
        prediction: As it was answered.
        answer: Of the version in shadow.
        served: What the caller got, as text, row by row.
        served_s: When.
        latency_s: Of that answer.
    """
    context = prediction.form.about(prediction.caller, prediction.decision)
    context.MergeFrom(_own_context(prediction, now_s=served_s, latency_s=latency_s))
    record = PredictionShadowed(
        context=context,
        version=answer.arm.version,
        digest=answer.arm.digest,
        latency_s=answer.latency_s,
        served=served,
        code=answer.code,
        message=answer.message[:_MAX_MESSAGE],
    )
    if not answer.code:
        record.payload.CopyFrom(_outputs(prediction, answer.outputs))
    identity = prediction.prediction_id
    return pack(
        encode(SHADOW_PREDICTIONS.name, record, key=identity, event_id=f"{identity}/shadow", source=SOURCE)
    )


def _outputs(prediction: Prediction, columns: Columns) -> Payload:
    rows, specs = prediction.checked.rows, prediction.contract.signature.outputs
    return Payload(
        outputs=[
            Tensor(name=spec.name, datatype=spec.datatype, shape=(rows, *spec.shape[1:]), raw=raw)
            for spec, raw in zip(specs, columns, strict=True)
        ]
    )


def _own_context(prediction: Prediction, *, now_s: float, latency_s: float) -> PredictionContext:
    """What no other prediction shares."""
    return PredictionContext(
        prediction_id=prediction.prediction_id,
        unit=prediction.unit,
        business_key=prediction.business_key,
        request_id=prediction.request_id,
        served_at=timestamp(now_s),
        latency_s=latency_s,
        rows=prediction.checked.rows,
        protocol=prediction.protocol,
        degraded=prediction.degraded,
        intended_version=prediction.intended_version,
        degraded_reason=prediction.degraded_reason[:_MAX_MESSAGE],
        cache=prediction.cached,
        pinned=prediction.is_pinned,
    )


def timestamp(time_s: float) -> Timestamp:
    """Seconds since the epoch as a message."""
    return Timestamp(seconds=int(time_s), nanos=int((time_s % 1) * 1e9))


def _line_parts() -> tuple[bytes, ...]:
    """The first line of a packed PredictionServed, cut where its id and its time stand."""
    headers = attributes(PredictionServed, _ID, source=SOURCE, time=_TIME)
    line = pack(Outgoing(topic=PREDICTIONS.name, key=_ID, value=b"", headers=headers)).decode()
    return tuple(part.encode() for part in line.replace(_TIME, _ID).split(_ID))


_BEFORE_KEY, _BEFORE_ID, _BEFORE_TIME, _END = _line_parts()


def _line(prediction_id: str, now_s: float) -> bytes:
    identity = prediction_id.encode()
    time = datetime.fromtimestamp(now_s, UTC).isoformat().encode()
    return b"".join((_BEFORE_KEY, identity, _BEFORE_ID, identity, _BEFORE_TIME, time, _END))
