"""A replica: kept alive by Ray Serve, asked by gateways on its own Open Inference port.

It fetches the model from the inference service, tries it, opens its port, and from then on reports
once a second. It goes on serving while the inference service is away.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio

from services.inference import serve_listener
from services.inference.domain.replicas import DRAINING, FAILED, LOADING, READY
from services.inference.domain.version import Version
from services.inference.open_inference import OpenInference
from services.inference.replica_port import replica_server
from slipway import rpc, spec
from slipway.errors import InvalidInput, SlipwayError
from slipway.ids import new_id
from slipway.oip import open_inference_pb2_grpc
from slipway.onnx_model import OnnxModel
from slipway.tls import ServerTls
from slipway.v1 import inference_pb2, inference_pb2_grpc

log = logging.getLogger(__name__)

_REPORT_DEADLINE_S: Final = 2.0
_REPORT_AGAIN_S: Final = 0.5
_FETCH_DEADLINE_S: Final = 150.0
_FETCH_AGAIN_S: Final = 1.0
_STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """What a replica is told; kept by Ray Serve, so it holds no secret but the replica's own key."""

    version: Version
    spec_yaml: str
    desk: str  # the inference service, as `slipway.tls.parse_target` reads it
    key: str
    host: str
    tls: ServerTls | None
    load_deadline_s: float


class Replica:
    """What Ray Serve deploys: its constructor returns when the replica is ready or has failed for good."""

    async def __init__(self, config: ReplicaConfig) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        serve_listener.bind_to(config.host)
        self._config = config
        self._report = inference_pb2.ReplicaReport(
            model=config.version.model,
            version=config.version.version,
            digest=config.version.digest,
            replica_id=new_id(),
            state=LOADING,
        )
        self._news = asyncio.Event()
        self._open_inference: OpenInference | None = None
        self._server: grpc.aio.Server | None = None
        self._resources = AsyncExitStack()
        channel = await self._resources.enter_async_context(rpc.channel(config.desk))
        self._desk = inference_pb2_grpc.ReplicaDeskStub(channel)
        self._reporting = asyncio.create_task(self._report_forever(), name="reports")
        try:
            await self._open()
        except InvalidInput as error:
            # Trying again cannot help: stay, and say so until the service takes the application down.
            self._say(FAILED, str(error))

    async def check_health(self) -> None:
        """Ray Serve asks every two seconds; an exception has the replica replaced."""
        if self._reporting.done():
            raise RuntimeError("the replica reports no more")
        if self._open_inference is not None:
            self._open_inference.model.predict(self._open_inference.model.probe())

    async def __del__(self) -> None:
        """Ray Serve's way to say goodbye: leave the directory, finish what is in flight."""
        self._reporting.cancel()
        self._report.state = DRAINING
        await self._send_report()
        if self._server is not None:
            await self._server.stop(_STOP_S)
        await self._resources.aclose()

    async def _open(self) -> None:
        onnx = await self._fetch()
        model = await asyncio.to_thread(_load, onnx, self._config.spec_yaml)
        self._open_inference = OpenInference(self._config.version, model)
        self._server, target = replica_server(self._config.host, tls_files=self._config.tls)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self._open_inference, self._server)
        await self._server.start()
        self._report.target = target
        self._say(READY, "")

    async def _fetch(self) -> bytes:
        """The model's bytes, waiting for a service or a registry that is away."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._config.load_deadline_s
        while True:
            try:
                return await self._fetch_once()
            except SlipwayError as error:
                if not error.retriable:
                    raise InvalidInput(str(error)) from error
                if loop.time() > end_s:
                    raise
                self._say(LOADING, f"waits for the model: {error}")
            await asyncio.sleep(_FETCH_AGAIN_S)

    async def _fetch_once(self) -> bytes:
        v = self._config.version
        request = inference_pb2.FetchModelRequest(model=v.model, version=v.version, digest=v.digest)
        with rpc.translating("inference service"):
            chunks: AsyncIterator[Any] = self._desk.FetchModel(
                request, timeout=_FETCH_DEADLINE_S, metadata=self._metadata()
            )
            onnx = b"".join([chunk.data async for chunk in chunks])
        found = hashlib.sha256(onnx).hexdigest()
        if found != v.digest:
            raise InvalidInput(f"the model's bytes hash to {found}, not to {v.digest}")
        return onnx

    def _say(self, state: str, message: str) -> None:
        self._report.state = state
        self._report.message = message
        self._news.set()

    async def _report_forever(self) -> None:
        while True:
            self._news.clear()
            pause_s = await self._send_report()
            try:
                await asyncio.wait_for(self._news.wait(), timeout=pause_s)
            except TimeoutError:
                continue

    async def _send_report(self) -> float:
        """Send one heartbeat; returns when to send the next."""
        if self._open_inference is not None:
            done = self._open_inference.done
            self._report.requests, self._report.rows = done.requests, done.rows
            self._report.failures, self._report.compute_s = done.failures, done.compute_s
        try:
            answer = await self._desk.Report(
                self._report, timeout=_REPORT_DEADLINE_S, metadata=self._metadata()
            )
            return float(answer.next_report_s)
        except grpc.aio.AioRpcError as error:
            log.warning("report was not taken: %s %s", error.code(), error.details())
            return _REPORT_AGAIN_S

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return rpc.operator_metadata(self._config.key)


def _load(onnx: bytes, spec_yaml: str) -> OnnxModel:
    """Build the session and try it once, so that the first caller does not pay for it."""
    model = OnnxModel(onnx, spec.parse(spec_yaml))
    model.check(model.probe())
    return model
