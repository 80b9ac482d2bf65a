"""The edge to the gateway: JobDesk over gRPC."""

from typing import Any

from services.jobs.handlers import Desk
from services.jobs.store.entries import Owner
from slipway.errors import Unavailable
from slipway.postgres import FAILURES
from slipway.rpc import aborting
from slipway.v1 import jobs_pb2, jobs_pb2_grpc


class JobDesk(jobs_pb2_grpc.JobDeskServicer):
    """Jobs of an owner whom the gateway has identified."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def Find(self, request: jobs_pb2.FindJobRequest, context: Any) -> jobs_pb2.Job | None:
        """A job, at its end or after a time."""
        async with aborting(context):
            try:
                return await self._desk.find(_owner(request.owner), request.job_id, wait_s=request.wait_s)
            except FAILURES as error:
                raise Unavailable("the jobs' database is away; ask again") from error
        return None

    async def Cancel(self, request: jobs_pb2.FindJobRequest, context: Any) -> jobs_pb2.Job | None:
        """End a job."""
        async with aborting(context):
            try:
                return await self._desk.cancel(_owner(request.owner), request.job_id)
            except FAILURES as error:
                raise Unavailable("the jobs' database is away; try again") from error
        return None

    async def DeriveCallbackSecret(
        self, request: jobs_pb2.JobOwner, _context: Any
    ) -> jobs_pb2.CallbackSecret:
        """What an owner's callbacks are signed with."""
        return jobs_pb2.CallbackSecret(secret=self._desk.callback_secret(_owner(request)))


def _owner(owner: jobs_pb2.JobOwner) -> Owner:
    return Owner(tenant=owner.tenant, principal=owner.principal)
