import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RetrainCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRAIN_CAUSE_UNSPECIFIED: _ClassVar[RetrainCause]
    RETRAIN_CAUSE_CONCEPT_DRIFT: _ClassVar[RetrainCause]
    RETRAIN_CAUSE_SECONDARY: _ClassVar[RetrainCause]
    RETRAIN_CAUSE_STALENESS: _ClassVar[RetrainCause]
    RETRAIN_CAUSE_MANUAL: _ClassVar[RetrainCause]
    RETRAIN_CAUSE_INITIAL: _ClassVar[RetrainCause]
RETRAIN_CAUSE_UNSPECIFIED: RetrainCause
RETRAIN_CAUSE_CONCEPT_DRIFT: RetrainCause
RETRAIN_CAUSE_SECONDARY: RetrainCause
RETRAIN_CAUSE_STALENESS: RetrainCause
RETRAIN_CAUSE_MANUAL: RetrainCause
RETRAIN_CAUSE_INITIAL: RetrainCause

class RetrainRequested(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "cause", "evidence", "alarm_ids", "drift_since", "requested_at", "actor")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    ALARM_IDS_FIELD_NUMBER: _ClassVar[int]
    DRIFT_SINCE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    cause: RetrainCause
    evidence: str
    alarm_ids: _containers.RepeatedScalarFieldContainer[str]
    drift_since: _timestamp_pb2.Timestamp
    requested_at: _timestamp_pb2.Timestamp
    actor: str
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., cause: _Optional[_Union[RetrainCause, str]] = ..., evidence: _Optional[str] = ..., alarm_ids: _Optional[_Iterable[str]] = ..., drift_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ...) -> None: ...

class RetrainDeclined(_message.Message):
    __slots__ = ("model", "tenant", "cause", "reason", "declined_at")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECLINED_AT_FIELD_NUMBER: _ClassVar[int]
    model: str
    tenant: str
    cause: RetrainCause
    reason: str
    declined_at: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., tenant: _Optional[str] = ..., cause: _Optional[_Union[RetrainCause, str]] = ..., reason: _Optional[str] = ..., declined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GateScore(_message.Message):
    __slots__ = ("contestant", "accuracy", "log_loss", "rows")
    CONTESTANT_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    LOG_LOSS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    contestant: str
    accuracy: float
    log_loss: float
    rows: int
    def __init__(self, contestant: _Optional[str] = ..., accuracy: _Optional[float] = ..., log_loss: _Optional[float] = ..., rows: _Optional[int] = ...) -> None: ...

class CandidateBlessed(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "version", "digest", "cause", "window", "scores", "reason", "decided_at", "training_rows", "training_s", "champion_version")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_ROWS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_S_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_VERSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    version: str
    digest: str
    cause: RetrainCause
    window: str
    scores: _containers.RepeatedCompositeFieldContainer[GateScore]
    reason: str
    decided_at: _timestamp_pb2.Timestamp
    training_rows: int
    training_s: float
    champion_version: str
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., cause: _Optional[_Union[RetrainCause, str]] = ..., window: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[GateScore, _Mapping]]] = ..., reason: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., training_rows: _Optional[int] = ..., training_s: _Optional[float] = ..., champion_version: _Optional[str] = ...) -> None: ...

class CandidateRejected(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "cause", "scores", "reason", "decided_at", "training_s", "champion_version")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_S_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_VERSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    cause: RetrainCause
    scores: _containers.RepeatedCompositeFieldContainer[GateScore]
    reason: str
    decided_at: _timestamp_pb2.Timestamp
    training_s: float
    champion_version: str
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., cause: _Optional[_Union[RetrainCause, str]] = ..., scores: _Optional[_Iterable[_Union[GateScore, _Mapping]]] = ..., reason: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., training_s: _Optional[float] = ..., champion_version: _Optional[str] = ...) -> None: ...

class CandidateInsufficient(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "cause", "reason", "decided_at")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    cause: RetrainCause
    reason: str
    decided_at: _timestamp_pb2.Timestamp
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., cause: _Optional[_Union[RetrainCause, str]] = ..., reason: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DatasetChunk(_message.Message):
    __slots__ = ("model", "name", "parquet")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARQUET_FIELD_NUMBER: _ClassVar[int]
    model: str
    name: str
    parquet: bytes
    def __init__(self, model: _Optional[str] = ..., name: _Optional[str] = ..., parquet: _Optional[bytes] = ...) -> None: ...

class RegisterDatasetResponse(_message.Message):
    __slots__ = ("dataset_id", "rows")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    rows: int
    def __init__(self, dataset_id: _Optional[str] = ..., rows: _Optional[int] = ...) -> None: ...

class TrainModelRequest(_message.Message):
    __slots__ = ("model", "actor", "evidence")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    actor: str
    evidence: str
    def __init__(self, model: _Optional[str] = ..., actor: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class TrainModelProgress(_message.Message):
    __slots__ = ("stage", "message", "blessed", "rejected", "insufficient")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BLESSED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    INSUFFICIENT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    message: str
    blessed: CandidateBlessed
    rejected: CandidateRejected
    insufficient: CandidateInsufficient
    def __init__(self, stage: _Optional[str] = ..., message: _Optional[str] = ..., blessed: _Optional[_Union[CandidateBlessed, _Mapping]] = ..., rejected: _Optional[_Union[CandidateRejected, _Mapping]] = ..., insufficient: _Optional[_Union[CandidateInsufficient, _Mapping]] = ...) -> None: ...

class TrainingStatusRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class TrainingStatusResponse(_message.Message):
    __slots__ = ("is_training", "stage", "examples", "trainings", "blessed", "rejected", "insufficient", "last_outcome", "open_requests")
    IS_TRAINING_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    TRAININGS_FIELD_NUMBER: _ClassVar[int]
    BLESSED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    INSUFFICIENT_FIELD_NUMBER: _ClassVar[int]
    LAST_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    OPEN_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    is_training: bool
    stage: str
    examples: int
    trainings: int
    blessed: int
    rejected: int
    insufficient: int
    last_outcome: str
    open_requests: int
    def __init__(self, is_training: _Optional[bool] = ..., stage: _Optional[str] = ..., examples: _Optional[int] = ..., trainings: _Optional[int] = ..., blessed: _Optional[int] = ..., rejected: _Optional[int] = ..., insufficient: _Optional[int] = ..., last_outcome: _Optional[str] = ..., open_requests: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("lines", "requests", "declined", "cool_down_rows_left", "rows_since_training", "open_request_id")
    LINES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    DECLINED_FIELD_NUMBER: _ClassVar[int]
    COOL_DOWN_ROWS_LEFT_FIELD_NUMBER: _ClassVar[int]
    ROWS_SINCE_TRAINING_FIELD_NUMBER: _ClassVar[int]
    OPEN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedScalarFieldContainer[str]
    requests: int
    declined: int
    cool_down_rows_left: int
    rows_since_training: int
    open_request_id: str
    def __init__(self, lines: _Optional[_Iterable[str]] = ..., requests: _Optional[int] = ..., declined: _Optional[int] = ..., cool_down_rows_left: _Optional[int] = ..., rows_since_training: _Optional[int] = ..., open_request_id: _Optional[str] = ...) -> None: ...
