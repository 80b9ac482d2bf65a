import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExtractionSuspected(_message.Message):
    __slots__ = ("alarm_id", "tenant", "principal", "model", "signal", "statistic", "threshold", "queries", "new_queries", "since", "suspected_at", "evidence")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    NEW_QUERIES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    SUSPECTED_AT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    tenant: str
    principal: str
    model: str
    signal: str
    statistic: float
    threshold: float
    queries: int
    new_queries: int
    since: _timestamp_pb2.Timestamp
    suspected_at: _timestamp_pb2.Timestamp
    evidence: str
    def __init__(self, alarm_id: _Optional[str] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., signal: _Optional[str] = ..., statistic: _Optional[float] = ..., threshold: _Optional[float] = ..., queries: _Optional[int] = ..., new_queries: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., suspected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[str] = ...) -> None: ...

class ExtractionCleared(_message.Message):
    __slots__ = ("alarm_id", "tenant", "principal", "model", "cleared_at", "cleared_by", "reason")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CLEARED_AT_FIELD_NUMBER: _ClassVar[int]
    CLEARED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    tenant: str
    principal: str
    model: str
    cleared_at: _timestamp_pb2.Timestamp
    cleared_by: str
    reason: str
    def __init__(self, alarm_id: _Optional[str] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., cleared_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cleared_by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ListSuspectsRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ListSuspectsResponse(_message.Message):
    __slots__ = ("suspects",)
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    suspects: _containers.RepeatedCompositeFieldContainer[ExtractionSuspected]
    def __init__(self, suspects: _Optional[_Iterable[_Union[ExtractionSuspected, _Mapping]]] = ...) -> None: ...

class ClearSuspectRequest(_message.Message):
    __slots__ = ("alarm_id", "model", "reason")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    model: str
    reason: str
    def __init__(self, alarm_id: _Optional[str] = ..., model: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CallerWatch(_message.Message):
    __slots__ = ("rows", "repeats", "variations", "shares", "features", "points", "answers", "recent", "scales_of")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: KindShare
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[KindShare, _Mapping]] = ...) -> None: ...
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    VARIATIONS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    RECENT_FIELD_NUMBER: _ClassVar[int]
    SCALES_OF_FIELD_NUMBER: _ClassVar[int]
    rows: int
    repeats: int
    variations: int
    shares: _containers.MessageMap[str, KindShare]
    features: int
    points: bytes
    answers: bytes
    recent: bytes
    scales_of: str
    def __init__(self, rows: _Optional[int] = ..., repeats: _Optional[int] = ..., variations: _Optional[int] = ..., shares: _Optional[_Mapping[str, KindShare]] = ..., features: _Optional[int] = ..., points: _Optional[bytes] = ..., answers: _Optional[bytes] = ..., recent: _Optional[bytes] = ..., scales_of: _Optional[str] = ...) -> None: ...

class KindShare(_message.Message):
    __slots__ = ("asked", "found", "log_detectors")
    ASKED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    LOG_DETECTORS_FIELD_NUMBER: _ClassVar[int]
    asked: int
    found: int
    log_detectors: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, asked: _Optional[int] = ..., found: _Optional[int] = ..., log_detectors: _Optional[_Iterable[float]] = ...) -> None: ...
