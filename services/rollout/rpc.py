"""RolloutControl over gRPC: decode, call one handler, encode."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from services.rollout import commands
from services.rollout.control import Control
from services.rollout.domain.log_entry import Version
from services.rollout.messages import to_spec
from services.rollout.rows import Candidate
from services.rollout.spec_handlers import apply_spec
from services.rollout.status import status_of
from services.rollout.version_registry import VersionRegistry
from slipway.errors import InvalidInput
from slipway.rpc import aborting
from slipway.v1 import rollout_pb2, rollout_pb2_grpc

MAX_EVENTS: Final = 1000
MAX_RIVALS: Final = 8
# The stack's own token: `admin` stands in for no named role, for an approval that anyone can give is none.
_ROLES: Final = ("admin",)


class RolloutControl(rollout_pb2_grpc.RolloutControlServicer):
    """The operator's way to models, specs and rollouts."""

    def __init__(self, control: Control, registry: VersionRegistry) -> None:
        self._control = control
        self._registry = registry

    async def ApplySpec(self, request: rollout_pb2.ApplySpecRequest, context: Any) -> Any:
        """Store and publish a spec."""
        async with aborting(context):
            row, changed = await apply_spec(
                self._control, yaml=request.yaml, recipe=request.recipe, actor=request.actor
            )
            return rollout_pb2.ApplySpecResponse(spec=to_spec(row), changed=changed)

    async def StartRollout(self, request: rollout_pb2.StartRolloutRequest, context: Any) -> Any:
        """Roll a registered version out, beside rivals where the spec has an A/B step."""
        async with aborting(context):
            self._control.find(request.model)
            if not request.version:
                raise InvalidInput("version is empty; give the number that the registry gave it")
            digest = request.digest or await self._registry.find_digest(request.model, request.version)
            candidate = Candidate(
                model=request.model,
                subject=Version(version=request.version, digest=digest),
                rivals=await self._find_rivals(request),
                actor=request.actor or "operator",
                reason=request.reason or "started by hand",
                quality="",
            )
            await commands.start_rollout(self._control, candidate)
            return await self._status(request.model)

    async def _find_rivals(self, request: rollout_pb2.StartRolloutRequest) -> tuple[Version, ...]:
        """Each is a version, or `version@digest` where the digest is to be that one and no other."""
        if len(request.rivals) > MAX_RIVALS:
            raise InvalidInput(f"{len(request.rivals)} rivals: an A/B step compares {MAX_RIVALS} at most")
        found = []
        for rival in request.rivals:
            version, _, digest = rival.partition("@")
            digest = digest or await self._registry.find_digest(request.model, version)
            found.append(Version(version=version, digest=digest))
        return tuple(found)

    async def Abort(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """End the live rollout."""
        return await self._command(commands.abort, request, context)

    async def Rollback(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Return to the version before."""
        return await self._command(commands.rollback, request, context)

    async def Pause(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Stop the way up."""
        return await self._command(commands.pause, request, context)

    async def Resume(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Go on where a pause stopped."""
        return await self._command(commands.resume, request, context)

    async def Promote(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Skip what is left of the steps, or of the bake."""
        return await self._command(partial(commands.promote, roles=_ROLES), request, context)

    async def Approve(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Sign the present step."""
        return await self._command(partial(commands.approve, roles=_ROLES), request, context)

    async def _command(
        self, command: Callable[..., Awaitable[None]], request: rollout_pb2.RolloutCommand, context: Any
    ) -> Any:
        async with aborting(context):
            await command(
                self._control, request.model, actor=request.actor or "operator", reason=request.reason
            )
            return await self._status(request.model)

    async def GetStatus(self, request: rollout_pb2.RolloutStatusRequest, context: Any) -> Any:
        """Where a model stands."""
        async with aborting(context):
            return await self._status(request.model, events=min(request.events, MAX_EVENTS))

    async def ListModels(self, _request: rollout_pb2.ListModelsRequest, context: Any) -> Any:
        """The names of all models."""
        async with aborting(context):
            _ = self._control.writer
            return rollout_pb2.ListModelsResponse(models=self._control.names)

    async def _status(self, name: str, *, events: int = 1) -> rollout_pb2.RolloutStatus:
        newest = await self._control.store.load_events(name, limit=events) if events else []
        async with self._control.locked(name) as model:
            return status_of(self._control, model, newest)
