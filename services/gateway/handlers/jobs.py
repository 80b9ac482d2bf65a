"""Asynchronous inference at the edge: checked as a prediction is, safe on disk before it is acknowledged."""

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import metrics, wire
from services.gateway.domain.job_ids import NONCE_BITS, JobOwner, issued_at_s, job_id, nonce_of
from services.gateway.domain.job_options import JobOptions, JobRules, agree
from services.gateway.limits.limits import Limits
from services.gateway.permissions import Permissions
from services.gateway.records import SOURCE
from services.gateway.spool import Spool
from services.gateway.wire import InferCall
from slipway.clock import Clock
from slipway.envelope import Outgoing, encode
from slipway.errors import InvalidInput, NotFound, Overloaded, SlipwayError
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials
from slipway.job_terms import LONGEST_TTL_S, LONGEST_WAIT_S, QUEUED
from slipway.oip.open_inference_pb2 import ModelInferRequest
from slipway.topics import INFERENCE_JOBS
from slipway.v1 import jobs_pb2

_ON_ITS_WAY: Final = "accepted, and on its way to the jobs service"
_GONE: Final = "no such job of yours is known; results are deleted some time after the job has ended"


class Admission(Protocol):
    """What the pipeline of predictions says of a request before it is answered."""

    def identify(self, credentials: Credentials) -> Caller:
        """Who calls."""
        ...

    def check(self, caller: Caller, call: InferCall) -> None:
        """Refuse what can never be answered."""
        ...


class Desk(Protocol):
    """The jobs service."""

    async def find(self, owner: JobOwner, job_id: str, *, wait_s: float) -> Any:
        """A job that it has seen."""
        ...

    async def cancel(self, owner: JobOwner, job_id: str) -> Any:
        """End a job."""
        ...

    async def callback_secret(self, owner: JobOwner) -> str:
        """The owner's secret."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a caller gets for a job."""

    job_id: str
    expires_at_s: float


class JobDoor:
    """Takes jobs, and asks the jobs service what became of them."""

    def __init__(
        self,
        admission: Admission,
        spool: Spool,
        *,
        desk: Desk,
        permissions: Permissions,
        limits: Limits,
        rules: JobRules,
        clock: Clock,
        secret: bytes,
    ) -> None:
        self._admission = admission
        self._spool = spool
        self._desk = desk
        self._permissions = permissions
        self._limits = limits
        self._rules = rules
        self._clock = clock
        self._secret = secret

    def identify(self, credentials: Credentials) -> Caller:
        """Who calls.

        Raises:
            Unauthenticated: Nobody known.
        """
        return self._admission.identify(credentials)

    async def take(self, caller: Caller, request: bytes | InferCall, options: JobOptions) -> Submitted:
        """Take one request as a job; when this returns it is on disk, and survives the process and Kafka.

        Args:
            caller: Whose job it is.
            request: A serialized ModelInferRequest, or one that was taken apart already.
            options: What the caller chose.
        Raises:
            SlipwayError: Refused as a prediction would be, or the options are, or there is no room for it.
        """
        try:
            call = wire.read_call(request) if isinstance(request, bytes) else request
            self._admission.check(caller, call)
            reservation = await self._limits.patiently(
                partial(self._limits.reserve, caller, call.model, rows=call.rows, counts="jobs")
            )
            try:
                submitted = self._submit(caller, call, request=request, options=options)
                reservation.settle()
            finally:
                reservation.release()
            return submitted
        except SlipwayError:
            metrics.JOB_REFUSALS.inc()
            raise

    async def find(self, caller: Caller, text: str, *, wait_s: float = 0.0) -> Any:
        """A job of the caller as a slipway.v1.Job; waits for its end as long as asked.

        Raises:
            NotFound: Not the caller's, never submitted, or long gone.
            Denied: He may not look after jobs.
            Unavailable: The jobs service is away.
        """
        owner = self._owner(caller)
        at_s = self._issued_at_s(owner, text)
        if not 0 <= wait_s <= LONGEST_WAIT_S:
            raise InvalidInput(f"wait_s {wait_s} must be 0 to {LONGEST_WAIT_S:.0f}")
        try:
            return await self._desk.find(owner, text, wait_s=wait_s)
        except NotFound:
            if self._clock.now_s() - at_s > LONGEST_TTL_S:
                raise NotFound(f"job {text}: {_GONE}") from None
            submitted_at = _timestamp(at_s)
            return jobs_pb2.Job(job_id=text, state=QUEUED, message=_ON_ITS_WAY, submitted_at=submitted_at)

    async def cancel(self, caller: Caller, text: str) -> Any:
        """End a job of the caller; one that has ended stays as it is. Returns it as `find` does.

        Raises:
            NotFound, Denied, Unavailable: As for `find`.
        """
        owner = self._owner(caller)
        self._issued_at_s(owner, text)
        return await self._desk.cancel(owner, text)

    async def callback_secret(self, caller: Caller) -> str:
        """What the caller's callbacks are signed with.

        Raises:
            Denied, Unavailable: As for `find`.
        """
        return await self._desk.callback_secret(self._owner(caller))

    def _owner(self, caller: Caller) -> JobOwner:
        self._permissions.follow_jobs(caller)
        return _owner(caller)

    def _submit(
        self, caller: Caller, call: InferCall, *, request: bytes | InferCall, options: JobOptions
    ) -> Submitted:
        terms = agree(options, self._rules, now_s=self._clock.now_s())
        if self._spool.is_full:
            raise Overloaded("earlier jobs fill the disk space set aside for them; send it again later")
        named = options.submission_id
        new_id = job_id(
            self._secret,
            _owner(caller),
            at_ms=round(terms.submitted_at_s * 1000),
            nonce=nonce_of(named) if named else secrets.randbits(NONCE_BITS),
        )
        message = jobs_pb2.JobSubmitted(
            job_id=new_id,
            tenant=caller.tenant,
            principal=caller.principal,
            model=call.model,
            request=request if isinstance(request, bytes) else request_bytes(request),
            priority=terms.priority,
            submitted_at=_timestamp(terms.submitted_at_s),
            expires_at=_timestamp(terms.expires_at_s),
            callback_url=options.callback_url,
            reply_topic=options.reply_topic,
            submitter=jobs_pb2.Submitter(
                roles=caller.roles, method=caller.method, credential_id=caller.credential_id
            ),
        )
        self._spool.append([_outgoing(message)])
        metrics.JOBS_SUBMITTED.labels(terms.priority).inc()
        return Submitted(job_id=new_id, expires_at_s=terms.expires_at_s)

    def _issued_at_s(self, owner: JobOwner, text: str) -> float:
        at_s = issued_at_s(self._secret, owner, text)
        if at_s is None:
            raise NotFound(f"job {text[:60]!r}: {_GONE}")
        return at_s


def request_bytes(call: InferCall) -> bytes:
    """A request that was taken apart, as the bytes that are kept: in raw form."""
    message = ModelInferRequest(model_name=call.model, model_version=call.version, id=call.request_id)
    for name, value in (("slipway_unit", call.unit), ("slipway_key", call.business_key)):
        if value:
            message.parameters[name].string_param = value
    if call.timeout_s is not None:
        message.parameters["timeout"].int64_param = max(1, round(call.timeout_s * 1e6))
    for tensor in call.tensors:
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_input_contents.append(bytes(tensor.raw))
    for name in call.outputs:
        message.outputs.add(name=name)
    return message.SerializeToString()


def _outgoing(message: jobs_pb2.JobSubmitted) -> Outgoing:
    topic = INFERENCE_JOBS[message.priority].name
    return encode(topic, message, key=message.job_id, event_id=message.job_id, source=SOURCE)


def _owner(caller: Caller) -> JobOwner:
    return JobOwner(tenant=caller.tenant, principal=caller.principal)


def _timestamp(at_s: float) -> Timestamp:
    return Timestamp(seconds=int(at_s), nanos=int((at_s % 1) * 1e9))
