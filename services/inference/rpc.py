"""The directory for gateways and rollouts, and the desk where replicas report."""

from collections.abc import AsyncIterator
from typing import Any, Final

from services.inference.domain.directory import Directory
from services.inference.domain.fleet import VersionState
from services.inference.domain.replicas import DRAINING, FAILED, LOADING, READY, Report, Use
from services.inference.domain.version import Version
from services.inference.handlers import Inference
from services.inference.model_cache import ModelCache
from slipway.errors import InvalidInput
from slipway.rpc import aborting
from slipway.v1 import inference_pb2, inference_pb2_grpc

DIRECTORY: Final = "slipway.v1.InferenceDirectory"
DESK: Final = "slipway.v1.ReplicaDesk"
_CHUNK_BYTES: Final = 1024 * 1024
_STATES: Final = (LOADING, READY, FAILED, DRAINING)


class DirectoryServicer(inference_pb2_grpc.InferenceDirectoryServicer):
    """Who serves which version."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def GetVersion(self, request: Any, context: Any) -> inference_pb2.VersionEndpoints:
        """One version."""
        async with aborting(context):
            return _endpoints(self._inference.get_version(request.model, request.version))
        raise AssertionError("aborted")

    async def WatchEndpoints(
        self, _request: Any, context: Any
    ) -> AsyncIterator[inference_pb2.EndpointDirectory]:
        """All versions, now and after each change."""
        async with aborting(context):
            async for directory in self._inference.watch():
                yield _directory(directory)


class DeskServicer(inference_pb2_grpc.ReplicaDeskServicer):
    """Replicas report and load their model."""

    def __init__(self, inference: Inference, models: ModelCache) -> None:
        self._inference = inference
        self._models = models

    async def Report(self, request: Any, context: Any) -> inference_pb2.ReplicaReportResponse:
        """One heartbeat."""
        async with aborting(context):
            self._check(request, context)
            self._inference.report(_report(request))
        return inference_pb2.ReplicaReportResponse(next_report_s=self._inference.report_s)

    async def FetchModel(self, request: Any, context: Any) -> AsyncIterator[inference_pb2.ModelChunk]:
        """The model's bytes."""
        async with aborting(context):
            self._check(request, context)
            onnx = await self._models.load(_version(request))
            for at in range(0, len(onnx), _CHUNK_BYTES):
                yield inference_pb2.ModelChunk(data=onnx[at : at + _CHUNK_BYTES])

    def _check(self, request: Any, context: Any) -> None:
        given = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
        self._inference.check_key(_version(request), given)


def _version(message: Any) -> Version:
    return Version(model=message.model, version=message.version, digest=message.digest)


def _report(message: Any) -> Report:
    if message.state not in _STATES or not message.replica_id:
        raise InvalidInput(f"report of replica {message.replica_id!r}: state {message.state!r} is unknown")
    use = Use(
        requests=message.requests, rows=message.rows, failures=message.failures, compute_s=message.compute_s
    )
    return Report(
        version=_version(message),
        replica_id=message.replica_id,
        state=message.state,
        message=message.message[:1000],
        target=message.target,
        use=use,
    )


def _endpoints(state: VersionState) -> inference_pb2.VersionEndpoints:
    return inference_pb2.VersionEndpoints(
        model=state.version.model,
        version=state.version.version,
        digest=state.version.digest,
        state=state.state,
        message=state.message,
        targets=state.targets,
    )


def _directory(directory: Directory) -> inference_pb2.EndpointDirectory:
    return inference_pb2.EndpointDirectory(
        epoch=directory.epoch, versions=[_endpoints(state) for state in directory.versions]
    )
