"""RolloutControl over gRPC: decode, call one handler, encode."""

from typing import Any, Final

from services.rollout import handlers
from services.rollout.callers import actor_of
from services.rollout.control import Control
from services.rollout.domain.explanation import explain
from services.rollout.domain.log_entry import Version
from services.rollout.messages import to_event, to_spec
from services.rollout.report_data import build_report
from services.rollout.rows import Candidate
from services.rollout.spec_handlers import apply_spec
from services.rollout.version_registry import VersionRegistry
from slipway.callback_urls import CallbackPolicy
from slipway.errors import InvalidInput
from slipway.rpc import aborting
from slipway.v1 import rollout_pb2, rollout_pb2_grpc

MAX_EVENTS: Final = 1000


class RolloutControl(rollout_pb2_grpc.RolloutControlServicer):
    """The operator's way to models, specs and rollouts."""

    def __init__(self, control: Control, registry: VersionRegistry, *, receivers: CallbackPolicy) -> None:
        self._control = control
        self._registry = registry
        self._receivers = receivers

    async def ApplySpec(self, request: rollout_pb2.ApplySpecRequest, context: Any) -> Any:
        """Store and publish a spec."""
        async with aborting(context):
            row, changed = await apply_spec(
                self._control,
                yaml=request.yaml,
                recipe=request.recipe,
                actor=actor_of(context, request.actor),
                receivers=self._receivers,
            )
            return rollout_pb2.ApplySpecResponse(spec=to_spec(row), changed=changed)

    async def StartRollout(self, request: rollout_pb2.StartRolloutRequest, context: Any) -> Any:
        """Roll a registered version out."""
        async with aborting(context):
            self._control.find(request.model)
            if not request.version:
                raise InvalidInput("version is empty; give the number that the registry gave it")
            digest = request.digest or await self._registry.find_digest(request.model, request.version)
            candidate = Candidate(
                model=request.model,
                subject=Version(version=request.version, digest=digest),
                actor=actor_of(context, request.actor),
                reason=request.reason or "started by hand",
                quality="",
            )
            await handlers.start_rollout(self._control, candidate)
            return await self._status(request.model)

    async def Abort(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """End the live rollout."""
        async with aborting(context):
            await handlers.abort(
                self._control,
                request.model,
                actor=actor_of(context, request.actor),
                reason=request.reason,
            )
            return await self._status(request.model)

    async def Rollback(self, request: rollout_pb2.RolloutCommand, context: Any) -> Any:
        """Return to the version before."""
        async with aborting(context):
            await handlers.rollback(
                self._control,
                request.model,
                actor=actor_of(context, request.actor),
                reason=request.reason,
            )
            return await self._status(request.model)

    async def GetReport(self, request: rollout_pb2.RolloutReportRequest, context: Any) -> Any:
        """Who, what, why, and the evidence over time of one rollout."""
        async with aborting(context):
            return await build_report(self._control, self._control.find(request.model), request.rollout_id)

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
            position = model.position
            text = (
                explain(position, model.tally, model.spec.rollout)
                if position.is_live
                else handlers.idle_text(model)
            )
            return rollout_pb2.RolloutStatus(
                spec=to_spec(model.row),
                routes=self._control.routes(model),
                state=position.state if position.is_live else "IDLE",
                version=position.subject.version if position.subject else "",
                explanation=text + handlers.waiting_text(model),
                events=[
                    to_event(entry, tenant=model.row.tenant, champion_version=champion)
                    for entry, champion in newest
                ],
                promoted=position.promoted,
                rolled_back=position.rolled_back,
                rollouts=position.rollouts,
            )
