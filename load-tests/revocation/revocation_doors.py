"""The doors that a key opens, asked again and again; and when each of them let a revoked one through last."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import grpc.aio
import psutil
from revocation_judge import GATEWAYS, SERVICES, WORKERS, Outage, Revocation
from servers import CannotRun

from slipway import rpc
from slipway.cli.control_plane import ControlPlane
from slipway.oip.open_inference_pb2 import RepositoryIndexRequest
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.ports import ports
from slipway.stack.stack import build_stack
from slipway.stack.supervision import Supervision
from slipway.v1.feedback_pb2 import SummarizeFeedbackRequest
from slipway.v1.feedback_pb2_grpc import FeedbackQueriesStub
from slipway.v1.jobs_pb2 import FindJobRequest
from slipway.v1.jobs_pb2_grpc import JobDeskStub
from slipway.v1.keys_pb2 import CreateKeyRequest, CreateKeyResponse, RevokeKeyRequest
from slipway.v1.keys_pb2_grpc import KeyAdminStub

# The kernel spreads connections: all of these come to one of two workers once in 32,768 times.
CONNECTIONS: Final = 16
_LOOK_S: Final = 0.02
_CALL_S: Final = 5.0
_QUIET_S: Final = 1.0  # refused for so long, it stays so
_WITHIN_S: Final = 60.0
_OWN: Final = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share a connection

Ask = Callable[[dict[str, Any]], Awaitable[Any]]


@asynccontextmanager
async def doors(plane: ControlPlane) -> AsyncIterator[Mapping[str, Sequence[Ask]]]:
    """What is asked at each door, by its name: of the gateways on many connections."""
    targets = plane.environment
    async with AsyncExitStack() as stack:
        gateways: list[Ask] = []
        for _ in range(CONNECTIONS):
            made = grpc.aio.insecure_channel(targets["SLIPWAY_GATEWAY_TARGET"], options=_OWN)
            stub = GRPCInferenceServiceStub(await stack.enter_async_context(made))
            gateways.append(_with(stub.RepositoryIndex, RepositoryIndexRequest()))
        feedback = await stack.enter_async_context(rpc.channel(targets["SLIPWAY_FEEDBACK_TARGET"]))
        jobs = await stack.enter_async_context(rpc.channel(targets["SLIPWAY_JOBS_TARGET"]))
        summarize = FeedbackQueriesStub(feedback).Summarize
        yield {
            GATEWAYS: gateways,
            "feedback": [_with(summarize, SummarizeFeedbackRequest(model="nobody"))],
            "jobs": [_with(JobDeskStub(jobs).Find, FindJobRequest(job_id="none"))],
        }


def _with(method: Any, request: Any) -> Ask:
    def ask(how: dict[str, Any]) -> Any:
        return method(request, **how)

    return ask


def check_spread() -> dict[str, int]:
    """Connections to the gateways' port, by worker.

    Raises:
        CannotRun: A worker has none: nothing would be known of it.
    """
    port, alive = ports()["gateway_grpc"], Supervision(build_stack()).alive()
    found = {
        name: sum(
            1
            for it in psutil.Process(alive[name]).net_connections(kind="tcp")
            if it.laddr.port == port and it.status == psutil.CONN_ESTABLISHED
        )
        for name in WORKERS
    }
    if not all(found.values()):
        raise CannotRun(f"a worker has no connection of the load test: {found}; run it again")
    return found


async def is_let_through(ask: Ask, key: str) -> bool:
    """Whether the key is one; what it may do there is another question, and the answer to that counts as yes.

    Raises:
        CannotRun: Nobody answers.
    """
    how = {"metadata": rpc.operator_metadata(key), "timeout": _CALL_S}
    try:
        await ask(how)
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise CannotRun(f"a door does not answer: {error.details()}") from error
        return bool(error.code() is not grpc.StatusCode.UNAUTHENTICATED)
    return True


async def last_let_through_s(asks: Sequence[Ask], key: str) -> float:
    """When the last answer came that let the key through, by the monotonic clock; ends when none does."""
    found = await asyncio.gather(*(_last_s(ask, key) for ask in asks))
    return max(found)


async def _last_s(ask: Ask, key: str) -> float:
    last_s = start_s = time.monotonic()
    while time.monotonic() - last_s < _QUIET_S:
        if await is_let_through(ask, key):
            last_s = time.monotonic()
            if last_s - start_s > _WITHIN_S:
                raise CannotRun(f"a revoked key is still let through after {_WITHIN_S:.0f} s")
        await asyncio.sleep(_LOOK_S)
    return last_s


async def make_key(plane: ControlPlane, open_doors: Mapping[str, Sequence[Ask]]) -> CreateKeyResponse:
    """A key that every door knows."""
    request = CreateKeyRequest(principal="revocation", roles=["app"])
    made: CreateKeyResponse = await plane.call(
        "gateway_admin", KeyAdminStub, lambda stub, how: stub.CreateKey(request, **how)
    )
    deadline_s = time.monotonic() + _WITHIN_S
    for ask in (ask for asks in open_doors.values() for ask in asks):
        while not await is_let_through(ask, made.secret):
            if time.monotonic() > deadline_s:
                raise CannotRun(f"a new key is not known after {_WITHIN_S:.0f} s")
            await asyncio.sleep(_LOOK_S)
    return made


async def revoke(
    plane: ControlPlane, made: CreateKeyResponse, watched: Mapping[str, Sequence[Ask]]
) -> Revocation:
    """Revoke a key as `slipway keys revoke` does, while it is shown at these doors."""
    watching = {
        name: asyncio.ensure_future(last_let_through_s(asks, made.secret)) for name, asks in watched.items()
    }
    # Gateways look once a second: revocations are to fall anywhere in between.
    await asyncio.sleep(random.uniform(_LOOK_S, 1.0))
    request = RevokeKeyRequest(key_id=made.info.key_id)
    sent_s = time.monotonic()
    await plane.call("gateway_admin", KeyAdminStub, lambda stub, how: stub.RevokeKey(request, **how))
    returned_s = time.monotonic()
    last_s = {name: await watch for name, watch in watching.items()}
    return Revocation(
        sent_s={name: max(0.0, at_s - sent_s) for name, at_s in last_s.items()},
        returned_s={name: max(0.0, at_s - returned_s) for name, at_s in last_s.items()},
    )


async def without_kafka(
    plane: ControlPlane, open_doors: Mapping[str, Sequence[Ask]], *, rounds: int
) -> Outage:
    """Revoke keys while Kafka is away; the gateways hear of it, the services once it is back."""
    keys = [await make_key(plane, open_doors) for _ in range(rounds)]
    supervision = Supervision(build_stack())
    await asyncio.to_thread(supervision.stop, "kafka")
    try:
        gateways = {GATEWAYS: open_doors[GATEWAYS]}
        revocations = [await revoke(plane, key, gateways) for key in keys]
        unaware = [name for name in SERVICES if await is_let_through(open_doors[name][0], keys[-1].secret)]
        watching = {
            name: asyncio.ensure_future(_until_refused_s(open_doors[name][0], keys[-1].secret))
            for name in SERVICES
        }
    finally:
        started_s = time.monotonic()
        await asyncio.to_thread(supervision.start, "kafka")
    back_s = {name: await watch - started_s for name, watch in watching.items()}
    return Outage(revocations=tuple(revocations), unaware=tuple(unaware), back_s=back_s)


async def _until_refused_s(ask: Ask, key: str) -> float:
    while await is_let_through(ask, key):
        await asyncio.sleep(_LOOK_S)
    return time.monotonic()
