"""Who serves which version right now: the inference service's directory, or the last one known of it."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from grpc.aio import AioRpcError

from services.gateway import metrics
from services.gateway.domain.framing import frame
from services.gateway.domain.routing import Arm
from services.gateway.snapshots import read_messages
from slipway import rpc
from slipway.changes import Changes, until
from slipway.v1.inference_pb2 import EndpointDirectory, WatchEndpointsRequest
from slipway.v1.inference_pb2_grpc import InferenceDirectoryStub

log = logging.getLogger(__name__)

SNAPSHOT: Final = "directory.snapshot"
INFERENCE: Final = "inference"
_READY: Final = "READY"
_DRAINING: Final = "DRAINING"
_STREAM_S: Final = 300.0  # a stream is renewed now and then, so that a half-dead one cannot last
_FIRST_RETRY_S: Final = 0.2
_LAST_RETRY_S: Final = 2.0


class Directory:
    """Targets of each version."""

    def __init__(self) -> None:
        self.changes = Changes()
        self._directory = EndpointDirectory()
        self._targets: dict[tuple[str, str], tuple[str, ...]] = {}

    def targets(self, model: str, arm: Arm) -> tuple[str, ...]:
        """host:port of each server that can answer for an arm; empty when there is none."""
        if arm.upstream == INFERENCE:
            return self._targets.get((model, arm.version), ())
        return (arm.upstream,) if arm.upstream else ()

    def apply(self, directory: EndpointDirectory) -> None:
        """Take a whole directory in place of the last one.

        A version that drains still answers, and has to: the directory may say so before the new routes are
        here, and requests that were routed before wait in its lane.
        """
        self._directory = directory
        self._targets = {
            (entry.model, entry.version): tuple(entry.targets)
            for state in (_DRAINING, _READY)  # of two digests with one number the one that stays wins
            for entry in directory.versions
            if entry.state == state and entry.targets
        }
        metrics.DIRECTORY_EPOCH.set(directory.epoch)
        self.changes.notify()

    def dump(self) -> bytes | None:
        """The directory for the snapshot."""
        return frame(self._directory.SerializeToString()) if self._directory.versions else None

    def restore(self, state_dir: Path) -> None:
        """Take the directory of the snapshot, if there is one."""
        for payload in read_messages(state_dir / SNAPSHOT) or ():
            try:
                self.apply(EndpointDirectory.FromString(payload))
            except DecodeError:
                log.warning("snapshot of the endpoint directory cannot be read")


class DirectoryWatch:
    """Follows the inference service's directory and connects again whenever the stream ends."""

    def __init__(self, target: str, directory: Directory) -> None:
        self._target = target
        self._directory = directory

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        await until(stop, self._watch_forever)

    async def _watch_forever(self) -> None:
        delay_s = _FIRST_RETRY_S
        async with rpc.channel(self._target) as channel:
            stub = InferenceDirectoryStub(channel)
            while True:
                before = self._directory.changes.revision
                ended = await self._watch(stub)
                is_working = self._directory.changes.revision != before
                if is_working or delay_s == _FIRST_RETRY_S:
                    log.info("the stream of the endpoint directory ended: %s", ended)
                delay_s = _FIRST_RETRY_S if is_working else min(delay_s * 2, _LAST_RETRY_S)
                await asyncio.sleep(delay_s)

    async def _watch(self, stub: InferenceDirectoryStub) -> str:
        """Apply what the stream sends; returns why it ended."""
        stream = stub.WatchEndpoints(WatchEndpointsRequest(), timeout=_STREAM_S)
        try:
            async for directory in stream:
                self._directory.apply(directory)
        except AioRpcError as error:
            return f"{error.code().name} {error.details()}"
        return "OK"
