"""A gateway behind a real rollout service: routes go to it, records come back; replicas are plain servers."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio

from slipway.oip import open_inference_pb2 as oip
from tests.gateway.directory_server import DirectoryServer
from tests.gateway.live import SERVING, Gateway, request, spec_text
from tests.rollout.bench import Bench
from tests.service_process import free_port, own_database, own_service, until

_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_CHANNELS: Final = 2
_SENT_PER_S: Final = 60


@contextmanager
def gateway_of(folder: Path) -> Iterator[tuple[Gateway, DirectoryServer]]:
    """The process, and who tells it where the replicas are."""
    port = free_port()
    with (
        DirectoryServer().serving(port) as directory,
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            folder,
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{port}",
        ) as service,
    ):
        gateway = Gateway(service=service, model="")
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        yield gateway, directory


@dataclass(kw_only=True)
class Caller:
    """Asks in an open loop; each request is a unit of its own."""

    gateway: Gateway
    model: str
    versions: list[str] = field(default_factory=list)  # by answer, in the order of arrival
    failures: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        channels = [grpc.aio.insecure_channel(self.gateway.target) for _ in range(_CHANNELS)]
        task = asyncio.create_task(self._drive([c.unary_unary(_METHOD) for c in channels], stop))
        try:
            yield
        finally:
            stop.set()
            await task
            for channel in channels:
                await channel.close()

    async def _drive(self, calls: list[Any], stop: asyncio.Event) -> None:
        data = request(self.model).SerializeToString()
        sent = 0
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                sent += 1
                group.create_task(self._ask(calls[sent % _CHANNELS], data))
                await asyncio.sleep(1 / _SENT_PER_S)

    async def _ask(self, call: Any, data: bytes) -> None:
        try:
            raw = await call(data, metadata=self.gateway.metadata, timeout=20)
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"{error.code().name}: {error.details()}")
        else:
            self.versions.append(oip.ModelInferResponse.FromString(raw).model_version)

    async def answered_by(self, version: str, *, after: int = 0) -> None:
        """Wait for an answer of a version behind the first so many."""

        async def check() -> bool:
            return version in self.versions[after:]

        await until(f"an answer by version {version}", check, seen=lambda: self.failures[-3:])


def chain_spec(
    model: str, *, steps: str = "", bake_rows: int = 20, more: str = "", serving: str = SERVING
) -> str:
    """The spec of a model of six features, with a rollout."""
    return spec_text(model, serving) + f"rollout: {{steps: [{steps}], bake_rows: {bake_rows}{more}}}\n"


async def first_champion(it: Bench, caller: Caller, *, spec: str) -> None:
    """Version 1 answers."""
    await it.apply(spec)
    await it.start("1")
    await it.reaches("DONE")
    gateway = caller.gateway
    gateway.model = it.model

    async def answers() -> bool:
        return await asyncio.to_thread(gateway.try_epoch) > 0

    await until("the gateway to answer", answers)


def unit() -> str:
    """Somebody who was never here before."""
    return secrets.token_hex(8)
