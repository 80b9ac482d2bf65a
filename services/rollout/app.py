"""Composition root of the rollout service."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from services.rollout.consumer import candidate_loop, label_loop, prediction_loop, shadow_loop
from services.rollout.control import Control
from services.rollout.directory import Directory
from services.rollout.driver import Driver
from services.rollout.evidence_handlers import ripen
from services.rollout.gate_watch import GateWatch
from services.rollout.lease import Lease
from services.rollout.notice_delivery import Bounds, NoticeDelivery
from services.rollout.notice_rpc import RolloutNotices
from services.rollout.notice_store import NoticeStore
from services.rollout.permissions import Permissions
from services.rollout.reconcile import Reconciliation
from services.rollout.rpc import RolloutControl
from services.rollout.settings import Settings
from services.rollout.store import Store
from services.rollout.version_registry import VersionRegistry
from slipway import kafka, postgres, rpc
from slipway.callback_http import callback_http
from slipway.clock import SystemClock
from slipway.identity.callers import Callers
from slipway.identity.wiring import add_identity
from slipway.ids import new_id
from slipway.outbox import Relay
from slipway.policy.access import open_policies
from slipway.policy.gate import PolicyGate
from slipway.process import Loop, Process
from slipway.registry import Registry
from slipway.v1 import inference_pb2_grpc, notices_pb2_grpc, rollout_pb2_grpc

MIGRATIONS = Path(__file__).parent / "migrations"
_CONSUMERS: Final = (candidate_loop, prediction_loop, label_loop, shadow_loop)


async def build(process: Process, settings: Settings) -> None:
    """Start the service: a standby answers nothing but health until it holds the lease."""
    pool = await process.enter(postgres.pool(settings.postgres_dsn, migrations=MIGRATIONS, max_size=8))
    store = Store(pool)
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    relay = Relay(pool, producer)
    control = Control(store, relay, clock=SystemClock())
    registry = await process.enter(_registry(settings.mlflow_url))
    channel = await process.enter(rpc.channel(settings.inference_target))
    directory = Directory(inference_pb2_grpc.InferenceDirectoryStub(channel))
    authenticator, keys = add_identity(process, settings)
    policies = open_policies(process, settings)
    permissions = Permissions(policies, control, registry)
    notices = NoticeStore(store)
    lease = Lease(store, holder=f"{socket.gethostname()}/{os.getpid()}/{new_id()}", lease_s=settings.lease_s)
    loops = [loop(control, producer, settings) for loop in _CONSUMERS]
    work: list[Loop] = [
        Reconciliation(control, settings.kafka_bootstrap, every_s=settings.reconcile_s).run,
        *(loop.run for loop in loops),
        partial(ripen, control),
        Driver(control, directory, registry).run,
        (await _delivery(process, settings, notices=notices)).run,
        GateWatch(control).run,
    ]
    process.spawn("relay", relay.run)
    process.spawn("lease", lease.run)
    process.spawn("lead", partial(_lead, lease, control, work=work))
    process.ready_when("lease", lambda: control.is_leading)
    process.ready_when("consumers", lambda: all(loop.is_ready for loop in loops))

    server = _server(
        RolloutControl(control, registry, permissions=permissions, receivers=settings.receivers(), keys=keys),
        notices=RolloutNotices(control, notices, key=settings.callback_key()),
        callers=(Callers(authenticator), PolicyGate(policies, find=permissions.find)),
    )
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))


def _server(control: RolloutControl, *, notices: RolloutNotices, callers: tuple[Any, ...]) -> rpc.RpcServer:
    server = rpc.RpcServer(interceptors=callers)
    server.add(
        rollout_pb2_grpc.add_RolloutControlServicer_to_server, control, service="slipway.v1.RolloutControl"
    )
    server.add(
        notices_pb2_grpc.add_RolloutNoticesServicer_to_server, notices, service="slipway.v1.RolloutNotices"
    )
    return server


async def _lead(lease: Lease, control: Control, stop: asyncio.Event, *, work: Sequence[Loop]) -> None:
    """Do all the work from when the lease is held."""
    if not await _taken(lease, stop):
        return
    await control.lead(lease.taken.result())
    async with asyncio.TaskGroup() as group:
        for loop in work:
            group.create_task(_run(loop, stop))


async def _run(loop: Loop, stop: asyncio.Event) -> None:
    await loop(stop)


async def _delivery(process: Process, settings: Settings, *, notices: NoticeStore) -> NoticeDelivery:
    policy = settings.receivers()
    http = await process.enter(
        callback_http(policy, timeout_s=settings.notice_timeout_s, parallel=settings.parallel_notices)
    )
    bounds = Bounds(
        parallel=settings.parallel_notices,
        timeout_s=settings.notice_timeout_s,
        deadline_s=settings.notice_deadline_s,
        most_pending=settings.max_pending_notices,
    )
    return NoticeDelivery(
        notices, http, policy=policy, bounds=bounds, clock=SystemClock(), key=settings.callback_key()
    )


async def _taken(lease: Lease, stop: asyncio.Event) -> bool:
    """Wait until the lease is held; False when told to stop before."""
    stopping = asyncio.ensure_future(stop.wait())
    waits: set[asyncio.Future[Any]] = {lease.taken, stopping}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return lease.taken.done()


@asynccontextmanager
async def _registry(url: str) -> AsyncIterator[VersionRegistry]:
    registry = VersionRegistry(Registry(url))
    try:
        yield registry
    finally:
        registry.close()
