"""The registry for one event loop: blocking calls leave the loop, one at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from slipway.errors import DeadlineExceeded, NotFound
from slipway.models.signing import Maker, Signer
from slipway.registry import CANDIDATE, REQUEST_TAG, Artifacts, RegisteredVersion, Registry

T = TypeVar("T")

MANIFEST: Final = "manifest.json"
CALIBRATION: Final = "calibration.json"
_DEADLINE_S: Final = 180.0
_CHAMPIONS: Final = 4


class VersionDesk:
    """Loads champions and registers candidates."""

    def __init__(self, registry: Registry, signer: Signer, *, code_version: str) -> None:
        self._registry = registry
        self._signer = signer
        self._code_version = code_version
        self._lock = asyncio.Lock()
        self._champions: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def load_onnx(self, model: str, version: str) -> bytes:
        """The bytes of a version, verified against its digest; the last few are kept.

        Raises:
            NotFound: No such version.
            InvalidInput: It is not what was registered.
        """
        if (model, version) not in self._champions:
            self._champions[model, version] = await self._blocking(lambda: self._load(model, version))
            if len(self._champions) > _CHAMPIONS:
                self._champions.popitem(last=False)
        return self._champions[model, version]

    async def register(
        self,
        model: str,
        artifacts: Artifacts,
        *,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tenant: str,
        request_id: str,
        made_by: str,
    ) -> RegisteredVersion:
        """Store a candidate, signed and marked with the request that it answers; point the alias at it."""
        maker = Maker(signer=self._signer, made_by=made_by, origin="trained", code_version=self._code_version)

        def work() -> RegisteredVersion:
            made = self._registry.register(
                *(model, artifacts),
                metrics=metrics,
                params=params,
                tenant=tenant,
                tags={REQUEST_TAG: request_id},
                maker=maker,
            )
            self._registry.set_alias(model, CANDIDATE, made.version)
            return made

        return await self._blocking(work)

    async def find_for_request(self, model: str, request_id: str) -> tuple[RegisteredVersion, Any] | None:
        """The version that a request has already led to, with its manifest; a kill may have come between."""

        def work() -> tuple[RegisteredVersion, Any] | None:
            try:
                found = self._registry.find_tagged(model, REQUEST_TAG, request_id)
            except NotFound:
                return None
            self._registry.set_alias(model, CANDIDATE, found.version)
            return found, self._registry.load_document(found, MANIFEST)

        return await self._blocking(work)

    def _load(self, model: str, version: str) -> bytes:
        found = self._registry.find(model, version)
        return self._registry.load_onnx(found, digest=found.digest)

    async def _blocking(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_DEADLINE_S), self._lock:
                return await asyncio.to_thread(work)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the registry did not answer within {_DEADLINE_S:g} s") from error
