import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from slipway.oip import open_inference_pb2 as _open_inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobSubmitted(_message.Message):
    __slots__ = ("job_id", "tenant", "principal", "model", "request", "priority", "submitted_at", "expires_at", "callback_url", "reply_topic", "submitter")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_URL_FIELD_NUMBER: _ClassVar[int]
    REPLY_TOPIC_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    tenant: str
    principal: str
    model: str
    request: bytes
    priority: str
    submitted_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    callback_url: str
    reply_topic: str
    submitter: Submitter
    def __init__(self, job_id: _Optional[str] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., request: _Optional[bytes] = ..., priority: _Optional[str] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., callback_url: _Optional[str] = ..., reply_topic: _Optional[str] = ..., submitter: _Optional[_Union[Submitter, _Mapping]] = ...) -> None: ...

class Submitter(_message.Message):
    __slots__ = ("roles", "method", "credential_id")
    ROLES_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.RepeatedScalarFieldContainer[str]
    method: str
    credential_id: str
    def __init__(self, roles: _Optional[_Iterable[str]] = ..., method: _Optional[str] = ..., credential_id: _Optional[str] = ...) -> None: ...

class JobFinished(_message.Message):
    __slots__ = ("job_id", "tenant", "principal", "model", "state", "code", "message", "response", "submitted_at", "finished_at")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    tenant: str
    principal: str
    model: str
    state: str
    code: str
    message: str
    response: bytes
    submitted_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, job_id: _Optional[str] = ..., tenant: _Optional[str] = ..., principal: _Optional[str] = ..., model: _Optional[str] = ..., state: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., response: _Optional[bytes] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "model", "state", "priority", "submitted_at", "expires_at", "finished_at", "tries", "code", "message", "response", "callback")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    model: str
    state: str
    priority: str
    submitted_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    tries: int
    code: str
    message: str
    response: _open_inference_pb2.ModelInferResponse
    callback: str
    def __init__(self, job_id: _Optional[str] = ..., model: _Optional[str] = ..., state: _Optional[str] = ..., priority: _Optional[str] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tries: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., response: _Optional[_Union[_open_inference_pb2.ModelInferResponse, _Mapping]] = ..., callback: _Optional[str] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("request", "priority", "ttl_s", "callback_url", "reply_topic", "submission_id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_URL_FIELD_NUMBER: _ClassVar[int]
    REPLY_TOPIC_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
    request: _open_inference_pb2.ModelInferRequest
    priority: str
    ttl_s: float
    callback_url: str
    reply_topic: str
    submission_id: str
    def __init__(self, request: _Optional[_Union[_open_inference_pb2.ModelInferRequest, _Mapping]] = ..., priority: _Optional[str] = ..., ttl_s: _Optional[float] = ..., callback_url: _Optional[str] = ..., reply_topic: _Optional[str] = ..., submission_id: _Optional[str] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job_id", "expires_at")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, job_id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id", "wait_s")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    wait_s: float
    def __init__(self, job_id: _Optional[str] = ..., wait_s: _Optional[float] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetCallbackSecretRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CallbackSecret(_message.Message):
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: str
    def __init__(self, secret: _Optional[str] = ...) -> None: ...

class JobOwner(_message.Message):
    __slots__ = ("tenant", "principal")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    principal: str
    def __init__(self, tenant: _Optional[str] = ..., principal: _Optional[str] = ...) -> None: ...

class FindJobRequest(_message.Message):
    __slots__ = ("owner", "job_id", "wait_s")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    owner: JobOwner
    job_id: str
    wait_s: float
    def __init__(self, owner: _Optional[_Union[JobOwner, _Mapping]] = ..., job_id: _Optional[str] = ..., wait_s: _Optional[float] = ...) -> None: ...

class TrustedInferRequest(_message.Message):
    __slots__ = ("tenant", "principal", "prediction_id", "request", "priority", "submitter")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    principal: str
    prediction_id: str
    request: bytes
    priority: str
    submitter: Submitter
    def __init__(self, tenant: _Optional[str] = ..., principal: _Optional[str] = ..., prediction_id: _Optional[str] = ..., request: _Optional[bytes] = ..., priority: _Optional[str] = ..., submitter: _Optional[_Union[Submitter, _Mapping]] = ...) -> None: ...

class TrustedInferResponse(_message.Message):
    __slots__ = ("response", "failure")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    response: bytes
    failure: InferFailure
    def __init__(self, response: _Optional[bytes] = ..., failure: _Optional[_Union[InferFailure, _Mapping]] = ...) -> None: ...

class InferFailure(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
