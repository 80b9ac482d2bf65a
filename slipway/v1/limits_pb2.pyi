import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShowLimitsRequest(_message.Message):
    __slots__ = ("tenant", "principal", "model")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    principal: str
    model: str
    def __init__(self, tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class ShowLimitsResponse(_message.Message):
    __slots__ = ("file_digest", "file_problem", "store_is_away", "gateways", "limits")
    FILE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STORE_IS_AWAY_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    file_digest: str
    file_problem: str
    store_is_away: bool
    gateways: int
    limits: _containers.RepeatedCompositeFieldContainer[LimitStanding]
    def __init__(self, file_digest: _Optional[str] = ..., file_problem: _Optional[str] = ..., store_is_away: _Optional[bool] = ..., gateways: _Optional[int] = ..., limits: _Optional[_Iterable[_Union[LimitStanding, _Mapping]]] = ...) -> None: ...

class LimitStanding(_message.Message):
    __slots__ = ("name", "kind", "counts", "unit", "text", "tenant", "principal", "model", "value", "used", "left", "resets_at", "source", "overshoot_bound", "when_store_is_away")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_BOUND_FIELD_NUMBER: _ClassVar[int]
    WHEN_STORE_IS_AWAY_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    counts: str
    unit: str
    text: str
    tenant: str
    principal: str
    model: str
    value: float
    used: float
    left: float
    resets_at: _timestamp_pb2.Timestamp
    source: str
    overshoot_bound: float
    when_store_is_away: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., counts: _Optional[str] = ..., unit: _Optional[str] = ..., text: _Optional[str] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., value: _Optional[float] = ..., used: _Optional[float] = ..., left: _Optional[float] = ..., resets_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., overshoot_bound: _Optional[float] = ..., when_store_is_away: _Optional[str] = ...) -> None: ...
