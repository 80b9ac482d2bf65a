"""What the inference service knows of a version's replicas."""

from typing import Final

from slipway import rpc
from slipway.v1.inference_pb2 import GetVersionRequest, VersionEndpoints
from slipway.v1.inference_pb2_grpc import InferenceDirectoryStub

_DEADLINE_S: Final = 2.0


class Directory:
    """A client of InferenceDirectory."""

    def __init__(self, stub: InferenceDirectoryStub) -> None:
        self._stub = stub

    async def get_version(self, model: str, version: str) -> VersionEndpoints:
        """The state of one version's replicas.

        Raises:
            Unavailable: The inference service is away.
        """
        request = GetVersionRequest(model=model, version=version)
        with rpc.translating("inference service"):
            reply: VersionEndpoints = await self._stub.GetVersion(request, timeout=_DEADLINE_S)
        return reply
