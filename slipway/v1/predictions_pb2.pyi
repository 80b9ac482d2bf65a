import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from slipway.v1 import tensors_pb2 as _tensors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictionContext(_message.Message):
    __slots__ = ("prediction_id", "tenant", "principal", "model", "version", "digest", "arm", "route_epoch", "unit", "business_key", "request_id", "served_at", "latency_s", "rows", "protocol", "cache", "degraded", "intended_version", "pinned", "auth_method", "credential_id", "policy_hash", "decision_id", "degraded_reason")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    ROUTE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SERVED_AT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    INTENDED_VERSION_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    AUTH_METHOD_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASON_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    tenant: str
    principal: str
    model: str
    version: str
    digest: str
    arm: str
    route_epoch: int
    unit: str
    business_key: str
    request_id: str
    served_at: _timestamp_pb2.Timestamp
    latency_s: float
    rows: int
    protocol: str
    cache: str
    degraded: str
    intended_version: str
    pinned: bool
    auth_method: str
    credential_id: str
    policy_hash: str
    decision_id: str
    degraded_reason: str
    def __init__(self, prediction_id: _Optional[str] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., arm: _Optional[str] = ..., route_epoch: _Optional[int] = ..., unit: _Optional[str] = ..., business_key: _Optional[str] = ..., request_id: _Optional[str] = ..., served_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., latency_s: _Optional[float] = ..., rows: _Optional[int] = ..., protocol: _Optional[str] = ..., cache: _Optional[str] = ..., degraded: _Optional[str] = ..., intended_version: _Optional[str] = ..., pinned: _Optional[bool] = ..., auth_method: _Optional[str] = ..., credential_id: _Optional[str] = ..., policy_hash: _Optional[str] = ..., decision_id: _Optional[str] = ..., degraded_reason: _Optional[str] = ...) -> None: ...

class PredictionServed(_message.Message):
    __slots__ = ("context", "payload", "feature_bins", "flags", "input_scores", "confidences", "abstained", "defence_action")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FEATURE_BINS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCORES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCES_FIELD_NUMBER: _ClassVar[int]
    ABSTAINED_FIELD_NUMBER: _ClassVar[int]
    DEFENCE_ACTION_FIELD_NUMBER: _ClassVar[int]
    context: PredictionContext
    payload: _tensors_pb2.Payload
    feature_bins: _containers.RepeatedCompositeFieldContainer[_tensors_pb2.FeatureBins]
    flags: _containers.RepeatedScalarFieldContainer[str]
    input_scores: _containers.RepeatedScalarFieldContainer[float]
    confidences: _containers.RepeatedScalarFieldContainer[float]
    abstained: bytes
    defence_action: str
    def __init__(self, context: _Optional[_Union[PredictionContext, _Mapping]] = ..., payload: _Optional[_Union[_tensors_pb2.Payload, _Mapping]] = ..., feature_bins: _Optional[_Iterable[_Union[_tensors_pb2.FeatureBins, _Mapping]]] = ..., flags: _Optional[_Iterable[str]] = ..., input_scores: _Optional[_Iterable[float]] = ..., confidences: _Optional[_Iterable[float]] = ..., abstained: _Optional[bytes] = ..., defence_action: _Optional[str] = ...) -> None: ...

class PredictionFailed(_message.Message):
    __slots__ = ("context", "code", "message")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    context: PredictionContext
    code: str
    message: str
    def __init__(self, context: _Optional[_Union[PredictionContext, _Mapping]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class PredictionWithheld(_message.Message):
    __slots__ = ("context", "code", "message")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    context: PredictionContext
    code: str
    message: str
    def __init__(self, context: _Optional[_Union[PredictionContext, _Mapping]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class PredictionsUnrecorded(_message.Message):
    __slots__ = ("context", "answered", "failed", "first_at", "last_at")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    FIRST_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_FIELD_NUMBER: _ClassVar[int]
    context: PredictionContext
    answered: int
    failed: int
    first_at: _timestamp_pb2.Timestamp
    last_at: _timestamp_pb2.Timestamp
    def __init__(self, context: _Optional[_Union[PredictionContext, _Mapping]] = ..., answered: _Optional[int] = ..., failed: _Optional[int] = ..., first_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PredictionShadowed(_message.Message):
    __slots__ = ("context", "version", "digest", "latency_s", "payload", "served", "code", "message")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    context: PredictionContext
    version: str
    digest: str
    latency_s: float
    payload: _tensors_pb2.Payload
    served: _containers.RepeatedScalarFieldContainer[str]
    code: str
    message: str
    def __init__(self, context: _Optional[_Union[PredictionContext, _Mapping]] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., latency_s: _Optional[float] = ..., payload: _Optional[_Union[_tensors_pb2.Payload, _Mapping]] = ..., served: _Optional[_Iterable[str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
