"""The gateway's way to the jobs service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from services.gateway.domain.job_ids import JobOwner
from slipway import rpc
from slipway.v1 import jobs_pb2
from slipway.v1.jobs_pb2_grpc import JobDeskStub

_DEADLINE_S: Final = 5.0


class JobDesk:
    """What the jobs service knows."""

    def __init__(self, channel: Any) -> None:
        self._stub: Any = JobDeskStub(channel)

    async def find(self, owner: JobOwner, job_id: str, *, wait_s: float) -> Any:
        """A job of this owner.

        Raises:
            NotFound: The jobs service has not seen it, or not any more.
            Unavailable: The jobs service is away.
        """
        request = _request(owner, job_id, wait_s=wait_s)
        with rpc.translating("jobs"):
            return await self._stub.Find(request, timeout=_DEADLINE_S + wait_s)

    async def cancel(self, owner: JobOwner, job_id: str) -> Any:
        """End a job that has not ended."""
        with rpc.translating("jobs"):
            return await self._stub.Cancel(_request(owner, job_id), timeout=_DEADLINE_S)

    async def callback_secret(self, owner: JobOwner) -> str:
        """What this owner's callbacks are signed with."""
        request = jobs_pb2.JobOwner(tenant=owner.tenant, principal=owner.principal)
        with rpc.translating("jobs"):
            answer = await self._stub.DeriveCallbackSecret(request, timeout=_DEADLINE_S)
        return str(answer.secret)


@asynccontextmanager
async def job_desk(target: str) -> AsyncIterator[JobDesk]:
    """A desk over a channel of its own."""
    async with rpc.channel(target) as channel:
        yield JobDesk(channel)


def _request(owner: JobOwner, job_id: str, *, wait_s: float = 0.0) -> jobs_pb2.FindJobRequest:
    who = jobs_pb2.JobOwner(tenant=owner.tenant, principal=owner.principal)
    return jobs_pb2.FindJobRequest(owner=who, job_id=job_id, wait_s=wait_s)
