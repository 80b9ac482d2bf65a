"""A cheap client: raw bytes over four channels, in a closed or an open loop; each answer with its version."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio

from slipway.oip import open_inference_pb2 as oip

_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_CHANNELS: Final = 4
_TIMEOUT_S: Final = 10.0
_MOST_IN_FLIGHT: Final = 512  # a server that stands still is not asked without end
_TICK_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Whom to ask what."""

    address: str
    metadata: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(kw_only=True)
class Seen:
    """What the client was told.

    Attributes:
        answers: Wall-clock time of each answer, its version, the epoch of the routes that chose it.
        failures: Time, gRPC status and its words of each request without an answer.
        not_sent: Requests that were due while too many were in flight.
    """

    answers: list[tuple[float, str, int]] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    not_sent: int = 0

    @property
    def codes(self) -> dict[str, int]:
        """Failures by status and words."""
        return dict(Counter(code for _, code in self.failures))


class Client:
    """Asks, and notes what it is told."""

    def __init__(self, door: Door, calls: list[Any]) -> None:
        self.seen = Seen()
        self._door = door
        self._calls = calls
        self._sent = 0
        self._asking: set[asyncio.Task[None]] = set()

    async def capacity_per_s(self, seconds: float, *, in_flight: int) -> float:
        """Answers a second of a closed loop."""
        before, start_s = len(self.seen.answers), time.monotonic()

        async def loop() -> None:
            while time.monotonic() < start_s + seconds:
                await self._ask()

        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(loop())
        return (len(self.seen.answers) - before) / (time.monotonic() - start_s)

    @asynccontextmanager
    async def asking(self, per_s: float) -> AsyncIterator[None]:
        """An open loop for as long as the block lasts; every request that was sent is waited for."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._drive(per_s, stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _drive(self, per_s: float, stop: asyncio.Event) -> None:
        start_s, due = time.monotonic(), 0
        while not stop.is_set():
            await asyncio.sleep(_TICK_S)
            now_due = int((time.monotonic() - start_s) * per_s)
            for _ in range(now_due - due):
                self._send()
            due = now_due
        if self._asking:
            await asyncio.wait(self._asking)

    def _send(self) -> None:
        if len(self._asking) >= _MOST_IN_FLIGHT:
            self.seen.not_sent += 1
            return
        task = asyncio.create_task(self._ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self) -> None:
        self._sent += 1
        try:
            raw = await self._calls[self._sent % _CHANNELS](
                self._door.body, metadata=self._door.metadata, timeout=_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            why = f"{error.code().name} ({(error.details() or '')[:120]})"
            self.seen.failures.append((time.time(), why))
            return
        answer = oip.ModelInferResponse.FromString(raw)
        epoch = answer.parameters["slipway_route_epoch"].int64_param
        self.seen.answers.append((time.time(), answer.model_version, epoch))


@asynccontextmanager
async def client(door: Door) -> AsyncIterator[Client]:
    """A connected client; each channel has a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(door.address, options=options) for _ in range(_CHANNELS)]
    try:
        yield Client(door, [channel.unary_unary(_METHOD) for channel in channels])
    finally:
        for channel in channels:
            await channel.close()
