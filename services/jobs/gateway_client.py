"""The way to the gateway's pipeline of predictions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc.aio import AioRpcError

from services.jobs.domain.verdict import Failed, Unanswered, prediction_id_of
from services.jobs.store.entries import Claim
from slipway import rpc
from slipway.v1.jobs_pb2 import Submitter, TrustedInferRequest
from slipway.v1.jobs_pb2_grpc import TrustedInferenceStub


class Gateway:
    """Predictions for callers whom the gateway has identified before."""

    def __init__(self, channel: Any) -> None:
        self._stub: Any = TrustedInferenceStub(channel)

    async def infer(self, claim: Claim, *, timeout_s: float) -> bytes | Failed | Unanswered:
        """Try a job: its answer, a failure that the gateway tells, or nothing certain."""
        request = TrustedInferRequest(
            tenant=claim.owner.tenant,
            principal=claim.owner.principal,
            prediction_id=prediction_id_of(claim.trial.job_id, claim.trial.attempt),
            request=claim.request,
            priority=claim.priority,
            submitter=Submitter.FromString(claim.submitter),
        )
        try:
            outcome = await self._stub.Infer(request, timeout=timeout_s)
        except AioRpcError as error:
            return Unanswered(code=error.code().name, message=f"gateway: {error.details()}")
        if outcome.WhichOneof("outcome") == "response":
            return bytes(outcome.response)
        return Failed(code=outcome.failure.code or "UNKNOWN", message=outcome.failure.message)


@asynccontextmanager
async def gateway(target: str) -> AsyncIterator[Gateway]:
    """The gateway over a channel of its own."""
    async with rpc.channel(target) as channel:
        yield Gateway(channel)
