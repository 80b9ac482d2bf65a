import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from slipway.v1 import tensors_pb2 as _tensors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeedbackReceived(_message.Message):
    __slots__ = ("prediction_id", "business_key", "row", "feedback_token", "model", "label", "accepted", "edited_label", "rating", "business_value", "retract", "source", "observed_at", "feedback_id")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_KEY_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    EDITED_LABEL_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_VALUE_FIELD_NUMBER: _ClassVar[int]
    RETRACT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    business_key: str
    row: int
    feedback_token: str
    model: str
    label: str
    accepted: bool
    edited_label: str
    rating: float
    business_value: float
    retract: bool
    source: str
    observed_at: _timestamp_pb2.Timestamp
    feedback_id: str
    def __init__(self, prediction_id: _Optional[str] = ..., business_key: _Optional[str] = ..., row: _Optional[int] = ..., feedback_token: _Optional[str] = ..., model: _Optional[str] = ..., label: _Optional[str] = ..., accepted: _Optional[bool] = ..., edited_label: _Optional[str] = ..., rating: _Optional[float] = ..., business_value: _Optional[float] = ..., retract: _Optional[bool] = ..., source: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., feedback_id: _Optional[str] = ...) -> None: ...

class LabelMatched(_message.Message):
    __slots__ = ("prediction_id", "row", "revision", "tenant", "principal", "source", "model", "version", "digest", "arm", "route_epoch", "label", "predicted", "probabilities", "classes", "inputs", "served_at", "observed_at", "matched_at", "unit", "pinned")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    ROUTE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SERVED_AT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_AT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    row: int
    revision: int
    tenant: str
    principal: str
    source: str
    model: str
    version: str
    digest: str
    arm: str
    route_epoch: int
    label: str
    predicted: str
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    classes: _containers.RepeatedScalarFieldContainer[str]
    inputs: _containers.RepeatedCompositeFieldContainer[_tensors_pb2.Tensor]
    served_at: _timestamp_pb2.Timestamp
    observed_at: _timestamp_pb2.Timestamp
    matched_at: _timestamp_pb2.Timestamp
    unit: str
    pinned: bool
    def __init__(self, prediction_id: _Optional[str] = ..., row: _Optional[int] = ..., revision: _Optional[int] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., source: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., arm: _Optional[str] = ..., route_epoch: _Optional[int] = ..., label: _Optional[str] = ..., predicted: _Optional[str] = ..., probabilities: _Optional[_Iterable[float]] = ..., classes: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[_Union[_tensors_pb2.Tensor, _Mapping]]] = ..., served_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., matched_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unit: _Optional[str] = ..., pinned: _Optional[bool] = ...) -> None: ...

class OutcomeMatched(_message.Message):
    __slots__ = ("prediction_id", "row", "tenant", "principal", "source", "model", "version", "digest", "arm", "route_epoch", "unit", "pinned", "accepted", "rating", "business_value", "served_at", "observed_at", "matched_at")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    ROUTE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_VALUE_FIELD_NUMBER: _ClassVar[int]
    SERVED_AT_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_AT_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    row: int
    tenant: str
    principal: str
    source: str
    model: str
    version: str
    digest: str
    arm: str
    route_epoch: int
    unit: str
    pinned: bool
    accepted: bool
    rating: float
    business_value: float
    served_at: _timestamp_pb2.Timestamp
    observed_at: _timestamp_pb2.Timestamp
    matched_at: _timestamp_pb2.Timestamp
    def __init__(self, prediction_id: _Optional[str] = ..., row: _Optional[int] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., source: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., arm: _Optional[str] = ..., route_epoch: _Optional[int] = ..., unit: _Optional[str] = ..., pinned: _Optional[bool] = ..., accepted: _Optional[bool] = ..., rating: _Optional[float] = ..., business_value: _Optional[float] = ..., served_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., matched_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LabelRetracted(_message.Message):
    __slots__ = ("prediction_id", "row", "revision", "tenant", "model", "version", "source", "retracted_at")
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RETRACTED_AT_FIELD_NUMBER: _ClassVar[int]
    prediction_id: str
    row: int
    revision: int
    tenant: str
    model: str
    version: str
    source: str
    retracted_at: _timestamp_pb2.Timestamp
    def __init__(self, prediction_id: _Optional[str] = ..., row: _Optional[int] = ..., revision: _Optional[int] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., source: _Optional[str] = ..., retracted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubmitFeedbackRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[FeedbackReceived]
    def __init__(self, items: _Optional[_Iterable[_Union[FeedbackReceived, _Mapping]]] = ...) -> None: ...

class SubmitFeedbackResponse(_message.Message):
    __slots__ = ("feedback_ids",)
    FEEDBACK_IDS_FIELD_NUMBER: _ClassVar[int]
    feedback_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, feedback_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class SummarizeFeedbackRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class SummarizeFeedbackResponse(_message.Message):
    __slots__ = ("rows_by_state", "quarantined_by_reason", "parked", "predictions", "prediction_doubles")
    class RowsByStateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class QuarantinedByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ROWS_BY_STATE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    PARKED_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_DOUBLES_FIELD_NUMBER: _ClassVar[int]
    rows_by_state: _containers.ScalarMap[str, int]
    quarantined_by_reason: _containers.ScalarMap[str, int]
    parked: int
    predictions: int
    prediction_doubles: int
    def __init__(self, rows_by_state: _Optional[_Mapping[str, int]] = ..., quarantined_by_reason: _Optional[_Mapping[str, int]] = ..., parked: _Optional[int] = ..., predictions: _Optional[int] = ..., prediction_doubles: _Optional[int] = ...) -> None: ...
