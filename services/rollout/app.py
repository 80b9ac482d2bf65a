"""Composition root of the rollout service."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.rollout.consumer import candidate_loop, label_loop, prediction_loop, shadow_loop
from services.rollout.control import Control
from services.rollout.directory import Directory
from services.rollout.driver import Driver
from services.rollout.evidence_handlers import ripen
from services.rollout.lease import Lease
from services.rollout.reconcile import reconcile
from services.rollout.rpc import RolloutControl
from services.rollout.settings import Settings
from services.rollout.store import Store
from services.rollout.version_registry import VersionRegistry
from slipway import kafka, postgres, rpc
from slipway.clock import SystemClock
from slipway.ids import new_id
from slipway.outbox import Relay
from slipway.process import Process
from slipway.registry import Registry
from slipway.v1 import inference_pb2_grpc, rollout_pb2_grpc

MIGRATIONS = Path(__file__).parent / "migrations"


async def build(process: Process, settings: Settings) -> None:
    """Start the service: a standby answers nothing but health until it holds the lease."""
    token = settings.secret(rpc.OPERATOR_TOKEN_FILE)
    pool = await process.enter(postgres.pool(settings.postgres_dsn, migrations=MIGRATIONS, max_size=8))
    store = Store(pool)
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    relay = Relay(pool, producer)
    control = Control(store, relay, clock=SystemClock())
    registry = await process.enter(_registry(settings.mlflow_url))
    channel = await process.enter(rpc.channel(settings.inference_target))
    directory = Directory(inference_pb2_grpc.InferenceDirectoryStub(channel), token=token)

    lease = Lease(store, holder=f"{socket.gethostname()}/{os.getpid()}/{new_id()}", lease_s=settings.lease_s)
    loops = [
        loop(control, producer, settings)
        for loop in (candidate_loop, prediction_loop, label_loop, shadow_loop)
    ]

    async def lead(stop: asyncio.Event) -> None:
        if not await _taken(lease, stop):
            return
        await control.lead(lease.taken.result())
        driver = Driver(control, directory, registry)
        async with asyncio.TaskGroup() as group:
            group.create_task(reconcile(control, settings.kafka_bootstrap, stop=stop))
            for loop in loops:
                group.create_task(loop.run(stop))
            group.create_task(ripen(control, stop))
            group.create_task(driver.run(stop))

    process.spawn("relay", relay.run)
    process.spawn("lease", lease.run)
    process.spawn("lead", lead)
    process.ready_when("lease", lambda: control.is_leading)
    process.ready_when("consumers", lambda: all(loop.is_ready for loop in loops))

    server = _server(RolloutControl(control, registry), token)
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}"))


def _server(servicer: RolloutControl, token: str) -> rpc.RpcServer:
    server = rpc.RpcServer(interceptors=(rpc.OperatorToken(token),))
    server.add(
        rollout_pb2_grpc.add_RolloutControlServicer_to_server,
        servicer,
        service="slipway.v1.RolloutControl",
    )
    return server


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
