"""RolloutControl over gRPC: decode, call one handler, encode."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from services.rollout import commands
from services.rollout.control import Control, permission_of_call
from services.rollout.domain.gates import RoleMissing
from services.rollout.domain.log_entry import Version
from services.rollout.domain.roles import who_could
from services.rollout.messages import to_spec
from services.rollout.permissions import Permissions
from services.rollout.report_data import build_report
from services.rollout.rows import Candidate
from services.rollout.spec_handlers import apply_spec
from services.rollout.status import status_of
from services.rollout.version_registry import VersionRegistry
from slipway.callback_urls import CallbackPolicy
from slipway.errors import Denied, InvalidInput
from slipway.identity.actor import actor_of
from slipway.identity.caller import Caller
from slipway.identity.key_book import KeyBook
from slipway.rpc import aborting, caller
from slipway.v1 import rollout_pb2, rollout_pb2_grpc

MAX_EVENTS: Final = 1000
MAX_RIVALS: Final = 8


class RolloutControl(rollout_pb2_grpc.RolloutControlServicer):
    """The operator's way to models, specs and rollouts."""

    def __init__(
        self,
        control: Control,
        registry: VersionRegistry,
        *,
        permissions: Permissions,
        receivers: CallbackPolicy,
        keys: KeyBook,
    ) -> None:
        self._control = control
        self._registry = registry
        self._permissions = permissions
        self._receivers = receivers
        self._keys = keys

    async def ApplySpec(self, request: rollout_pb2.ApplySpecRequest, context: Any) -> Any:
        """Store and publish a spec."""
        async with aborting(context):
            who = caller(context)
            row, changed = await apply_spec(
                self._control,
                yaml=request.yaml,
                recipe=request.recipe,
                actor=actor_of(context, request.actor),
                receivers=self._receivers,
                who=who,
                may_apply=partial(self._permissions.may_apply, who),
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
                actor=actor_of(context, request.actor),
                reason=request.reason or "started by hand",
                quality="",
                permission=permission_of_call(),
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
        return await self._sign(commands.promote, request, context, may=self._permissions.may_promote)

    async def Approve(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Sign the present step."""
        return await self._sign(commands.approve, request, context, may=self._permissions.may_approve)

    async def _command(
        self, command: Callable[..., Awaitable[None]], request: rollout_pb2.RolloutCommand, context: Any
    ) -> Any:
        async with aborting(context):
            actor = actor_of(context, request.actor)
            await command(self._control, request.model, actor=actor, reason=request.reason)
            return await self._status(request.model)

    async def _sign(
        self,
        command: Callable[..., Awaitable[None]],
        request: rollout_pb2.RolloutCommand,
        context: Any,
        *,
        may: Callable[[Caller, str], Awaitable[Version | None]],
    ) -> Any:
        """A command for which a role may be asked; who lacks it hears who has it."""
        async with aborting(context):
            who = caller(context)
            subject = await may(who, request.model)
            try:
                await command(
                    self._control,
                    request.model,
                    actor=actor_of(context, request.actor),
                    roles=who.roles,
                    subject=subject,
                    reason=request.reason,
                )
            except RoleMissing as error:
                raise Denied(f"{error}; {self._who_could(error.role)}") from error
            return await self._status(request.model)

    def _who_could(self, role: str) -> str:
        return who_could(role, self._keys.names_with(role, now_s=self._control.clock.now_s()))

    async def GetReport(self, request: rollout_pb2.RolloutReportRequest, context: Any) -> Any:
        """Who, what, why, and the evidence over time of one rollout."""
        async with aborting(context):
            model = self._control.find(request.model)
            return await build_report(self._control, model, request.rollout_id)

    async def GetStatus(self, request: rollout_pb2.RolloutStatusRequest, context: Any) -> Any:
        """Where a model stands."""
        async with aborting(context):
            return await self._status(request.model, events=min(request.events, MAX_EVENTS))

    async def ListModels(self, _request: rollout_pb2.ListModelsRequest, context: Any) -> Any:
        """The names of all models that the caller may see."""
        async with aborting(context):
            return rollout_pb2.ListModelsResponse(models=self._permissions.seen(caller(context)))

    async def _status(self, name: str, *, events: int = 1) -> rollout_pb2.RolloutStatus:
        async with self._control.locked(name) as model:
            # Under the lock: the events must not be older than the state beside them.
            newest = await self._control.store.load_events(name, limit=events) if events else []
            return status_of(self._control, model, newest)
