"""gRPC of jobs: asynchronous inference for callers, and predictions on their behalf for the jobs service."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway import wire
from services.gateway.domain import priorities
from services.gateway.domain.job_options import JobOptions
from services.gateway.handlers.jobs import JobDoor
from services.gateway.handlers.predict import Predictions
from slipway.errors import SlipwayError, Unavailable
from slipway.identity.caller import APP, Caller, Method
from slipway.identity.credentials import of_call
from slipway.job_terms import HIGH
from slipway.rpc import aborting, status_of
from slipway.v1 import jobs_pb2
from slipway.v1.jobs_pb2_grpc import AsyncInferenceServicer, TrustedInferenceServicer

ASYNC_SERVICE: Final = "slipway.v1.AsyncInference"
TRUSTED_SERVICE: Final = "slipway.v1.TrustedInference"
PROTOCOL: Final = "job"


class AsyncInferenceService(AsyncInferenceServicer):
    """Submit, look, cancel."""

    def __init__(self, door: JobDoor) -> None:
        self._door = door

    async def Submit(
        self, request: jobs_pb2.SubmitJobRequest, context: Any
    ) -> jobs_pb2.SubmitJobResponse | None:
        """Take a job."""
        async with aborting(context):
            submitted = await self._door.take(
                self._caller(context), request.request.SerializeToString(), options_of(request)
            )
            at_s = submitted.expires_at_s
            expires_at = Timestamp(seconds=int(at_s), nanos=int((at_s % 1) * 1e9))
            return jobs_pb2.SubmitJobResponse(job_id=submitted.job_id, expires_at=expires_at)
        return None

    async def GetJob(self, request: jobs_pb2.GetJobRequest, context: Any) -> Any:
        """Look what became of a job, and wait for it a little."""
        async with aborting(context):
            return await self._door.find(self._caller(context), request.job_id, wait_s=request.wait_s)

    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: Any) -> Any:
        """End a job."""
        async with aborting(context):
            return await self._door.cancel(self._caller(context), request.job_id)

    async def GetCallbackSecret(
        self, _request: jobs_pb2.GetCallbackSecretRequest, context: Any
    ) -> jobs_pb2.CallbackSecret | None:
        """What the caller's callbacks are signed with."""
        async with aborting(context):
            return jobs_pb2.CallbackSecret(secret=await self._door.callback_secret(self._caller(context)))
        return None

    def _caller(self, context: Any) -> Caller:
        return self._door.identify(of_call(context))


class TrustedInferenceService(TrustedInferenceServicer):
    """The pipeline of predictions for a caller who was identified at submission."""

    def __init__(self, predictions: Predictions, *, not_ready: Callable[[], list[str]]) -> None:
        self._predictions = predictions
        self._not_ready = not_ready

    async def Infer(
        self, request: jobs_pb2.TrustedInferRequest, context: Any
    ) -> jobs_pb2.TrustedInferResponse:
        """Predict; a failure is an answer, so that the jobs service knows that there was one."""
        async with aborting(context):
            if missing := self._not_ready():
                # Before the specs are known, every model would seem to be unknown for good.
                raise Unavailable(f"the gateway still waits for {', '.join(missing)}")
        caller = _submitter_of(request)
        try:
            call = replace(
                wire.read_call(request.request),
                protocol=PROTOCOL,
                prediction_id=request.prediction_id,
                # A job can wait: it never stands in the way of somebody who does.
                priority=priorities.DEFAULT if request.priority == HIGH else priorities.LAST,
            )
            answer = await self._predictions.answer(caller, call, budget_s=context.time_remaining())
        except SlipwayError as error:
            failure = jobs_pb2.InferFailure(code=status_of(error).name, message=str(error))
            return jobs_pb2.TrustedInferResponse(failure=failure)
        return jobs_pb2.TrustedInferResponse(response=wire.write_answer(answer))


def _submitter_of(request: jobs_pb2.TrustedInferRequest) -> Caller:
    """Who submitted the job: it is answered with his roles, as they were then."""
    who = request.submitter
    return Caller(
        principal=request.principal,
        tenant=request.tenant,
        # Jobs that were submitted before this was told came from holders of API keys.
        roles=tuple(who.roles) or (APP,),
        method=cast(Method, who.method or "api_key"),
        credential_id=who.credential_id,
    )


def options_of(request: jobs_pb2.SubmitJobRequest) -> JobOptions:
    """The options in a submission."""
    return JobOptions(
        priority=request.priority,
        ttl_s=request.ttl_s,
        callback_url=request.callback_url,
        reply_topic=request.reply_topic,
        submission_id=request.submission_id,
    )
