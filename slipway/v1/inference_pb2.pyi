from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetVersionRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class VersionEndpoints(_message.Message):
    __slots__ = ("model", "version", "digest", "state", "message", "targets")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    state: str
    message: str
    targets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., state: _Optional[str] = ..., message: _Optional[str] = ..., targets: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchEndpointsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EndpointDirectory(_message.Message):
    __slots__ = ("epoch", "versions")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    versions: _containers.RepeatedCompositeFieldContainer[VersionEndpoints]
    def __init__(self, epoch: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[VersionEndpoints, _Mapping]]] = ...) -> None: ...

class ReplicaReport(_message.Message):
    __slots__ = ("model", "version", "digest", "replica_id", "state", "message", "target", "requests", "rows", "failures", "compute_s")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    replica_id: str
    state: str
    message: str
    target: str
    requests: int
    rows: int
    failures: int
    compute_s: float
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., replica_id: _Optional[str] = ..., state: _Optional[str] = ..., message: _Optional[str] = ..., target: _Optional[str] = ..., requests: _Optional[int] = ..., rows: _Optional[int] = ..., failures: _Optional[int] = ..., compute_s: _Optional[float] = ...) -> None: ...

class ReplicaReportResponse(_message.Message):
    __slots__ = ("next_report_s",)
    NEXT_REPORT_S_FIELD_NUMBER: _ClassVar[int]
    next_report_s: float
    def __init__(self, next_report_s: _Optional[float] = ...) -> None: ...

class FetchModelRequest(_message.Message):
    __slots__ = ("model", "version", "digest")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    digest: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class ModelChunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
