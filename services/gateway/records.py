"""What is kept of a prediction: one record for each answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.domain.api_keys import ApiKey
from services.gateway.domain.batching import Columns
from services.gateway.domain.checks import CheckedInput
from services.gateway.domain.contract import Contract
from services.gateway.domain.routing import Arm
from slipway.envelope import Outgoing, encode
from slipway.signature import TensorSpec
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionContext, PredictionFailed, PredictionServed
from slipway.v1.tensors_pb2 import FeatureBins, Payload, Tensor

SOURCE: Final = "gateway"
_MAX_MESSAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Who asked whom for what."""

    prediction_id: str
    caller: ApiKey
    arm: Arm
    contract: Contract
    route_epoch: int
    unit: str
    business_key: str
    request_id: str
    checked: CheckedInput
    protocol: str = "grpc"


def served(
    prediction: Prediction,
    outputs: Columns,
    *,
    codes: Sequence[tuple[str, bytes]],
    now_s: float,
    latency_s: float,
) -> Outgoing:
    """The record of an answer."""
    signature, rows = prediction.contract.signature, prediction.checked.rows
    record = PredictionServed(
        context=_context(prediction, now_s=now_s, latency_s=latency_s),
        payload=Payload(
            inputs=_tensors(signature.inputs, prediction.checked.columns, rows=rows),
            outputs=_tensors(signature.outputs, outputs, rows=rows),
        ),
        feature_bins=[FeatureBins(feature=feature, codes=code) for feature, code in codes],
        flags=prediction.checked.flags,
    )
    return encode(
        PREDICTIONS.name,
        record,
        key=prediction.prediction_id,
        event_id=prediction.prediction_id,
        source=SOURCE,
    )


def failed(prediction: Prediction, *, code: str, message: str, now_s: float, latency_s: float) -> Outgoing:
    """The record of a failure that reached an arm."""
    record = PredictionFailed(
        context=_context(prediction, now_s=now_s, latency_s=latency_s),
        code=code,
        message=message[:_MAX_MESSAGE],
    )
    return encode(
        PREDICTIONS.name,
        record,
        key=prediction.prediction_id,
        event_id=prediction.prediction_id,
        source=SOURCE,
    )


def _context(prediction: Prediction, *, now_s: float, latency_s: float) -> PredictionContext:
    return PredictionContext(
        prediction_id=prediction.prediction_id,
        tenant=prediction.caller.tenant,
        principal=prediction.caller.principal,
        model=prediction.contract.model,
        version=prediction.arm.version,
        digest=prediction.arm.digest,
        arm=prediction.arm.role,
        route_epoch=prediction.route_epoch,
        unit=prediction.unit,
        business_key=prediction.business_key,
        request_id=prediction.request_id,
        served_at=Timestamp(seconds=int(now_s), nanos=int((now_s % 1) * 1e9)),
        latency_s=latency_s,
        rows=prediction.checked.rows,
        protocol=prediction.protocol,
    )


def _tensors(specs: Sequence[TensorSpec], columns: Columns, *, rows: int) -> list[Tensor]:
    return [
        Tensor(name=spec.name, datatype=spec.datatype, shape=(rows, *spec.shape[1:]), raw=column)
        for spec, column in zip(specs, columns, strict=True)
    ]
