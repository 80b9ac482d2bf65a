import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DriftSignal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRIFT_SIGNAL_UNSPECIFIED: _ClassVar[DriftSignal]
    DRIFT_SIGNAL_DATA: _ClassVar[DriftSignal]
    DRIFT_SIGNAL_PREDICTION: _ClassVar[DriftSignal]
    DRIFT_SIGNAL_CONCEPT: _ClassVar[DriftSignal]
    DRIFT_SIGNAL_PERFORMANCE: _ClassVar[DriftSignal]
    DRIFT_SIGNAL_DATA_QUALITY: _ClassVar[DriftSignal]
    DRIFT_SIGNAL_INPUT_SCORE: _ClassVar[DriftSignal]
DRIFT_SIGNAL_UNSPECIFIED: DriftSignal
DRIFT_SIGNAL_DATA: DriftSignal
DRIFT_SIGNAL_PREDICTION: DriftSignal
DRIFT_SIGNAL_CONCEPT: DriftSignal
DRIFT_SIGNAL_PERFORMANCE: DriftSignal
DRIFT_SIGNAL_DATA_QUALITY: DriftSignal
DRIFT_SIGNAL_INPUT_SCORE: DriftSignal

class DriftBlock(_message.Message):
    __slots__ = ("model", "version", "source_topic", "source_partition", "first_offset", "last_offset", "first_at", "last_at", "rows", "features", "predicted_counts", "labels", "errors", "label_counts", "scored", "unusual")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PARTITION_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FIRST_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_COUNTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    LABEL_COUNTS_FIELD_NUMBER: _ClassVar[int]
    SCORED_FIELD_NUMBER: _ClassVar[int]
    UNUSUAL_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    source_topic: str
    source_partition: int
    first_offset: int
    last_offset: int
    first_at: _timestamp_pb2.Timestamp
    last_at: _timestamp_pb2.Timestamp
    rows: int
    features: _containers.RepeatedCompositeFieldContainer[FeatureCounts]
    predicted_counts: _containers.RepeatedScalarFieldContainer[int]
    labels: int
    errors: int
    label_counts: _containers.RepeatedScalarFieldContainer[int]
    scored: int
    unusual: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., source_topic: _Optional[str] = ..., source_partition: _Optional[int] = ..., first_offset: _Optional[int] = ..., last_offset: _Optional[int] = ..., first_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rows: _Optional[int] = ..., features: _Optional[_Iterable[_Union[FeatureCounts, _Mapping]]] = ..., predicted_counts: _Optional[_Iterable[int]] = ..., labels: _Optional[int] = ..., errors: _Optional[int] = ..., label_counts: _Optional[_Iterable[int]] = ..., scored: _Optional[int] = ..., unusual: _Optional[int] = ...) -> None: ...

class FeatureCounts(_message.Message):
    __slots__ = ("feature", "counts", "outside", "missing")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    feature: str
    counts: _containers.RepeatedScalarFieldContainer[int]
    outside: int
    missing: int
    def __init__(self, feature: _Optional[str] = ..., counts: _Optional[_Iterable[int]] = ..., outside: _Optional[int] = ..., missing: _Optional[int] = ...) -> None: ...

class DriftDetected(_message.Message):
    __slots__ = ("alarm_id", "tenant", "model", "version", "signal", "subject", "statistic_name", "statistic", "threshold", "rows", "window_start", "window_end", "detected_at", "evidence")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_NAME_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    DETECTED_AT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    tenant: str
    model: str
    version: str
    signal: DriftSignal
    subject: str
    statistic_name: str
    statistic: float
    threshold: float
    rows: int
    window_start: _timestamp_pb2.Timestamp
    window_end: _timestamp_pb2.Timestamp
    detected_at: _timestamp_pb2.Timestamp
    evidence: str
    def __init__(self, alarm_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., signal: _Optional[_Union[DriftSignal, str]] = ..., subject: _Optional[str] = ..., statistic_name: _Optional[str] = ..., statistic: _Optional[float] = ..., threshold: _Optional[float] = ..., rows: _Optional[int] = ..., window_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., window_end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[str] = ...) -> None: ...

class DriftCleared(_message.Message):
    __slots__ = ("alarm_id", "tenant", "model", "version", "signal", "subject", "cleared_at", "evidence")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CLEARED_AT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    tenant: str
    model: str
    version: str
    signal: DriftSignal
    subject: str
    cleared_at: _timestamp_pb2.Timestamp
    evidence: str
    def __init__(self, alarm_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., signal: _Optional[_Union[DriftSignal, str]] = ..., subject: _Optional[str] = ..., cleared_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence: _Optional[str] = ...) -> None: ...
