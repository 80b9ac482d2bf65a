"""What a rollout's report is made of: its log, whose policy it followed, its findings over time."""

from services.rollout.control import Control, Model
from services.rollout.evidence_store import load_points
from services.rollout.messages import to_event, to_point
from slipway.errors import NotFound
from slipway.v1.rollout_pb2 import RolloutReport


async def build_report(control: Control, model: Model, rollout_id: str) -> RolloutReport:
    """The report of one rollout.

    Args:
        control: Whose store is read.
        model: Its model.
        rollout_id: Empty: the latest.
    Raises:
        NotFound: The model has had no such rollout.
    """
    wanted = rollout_id or model.position.rollout_id
    entries = await control.store.load_rollout(model.name, wanted)
    if not entries:
        raise NotFound(f"{model.name}: no rollout {wanted!r}; `slipway status {model.name}` shows the latest")
    first, champion = entries[0]
    is_live = model.position.is_live and model.position.rollout_id == wanted
    return RolloutReport(
        model=model.name,
        rollout_id=wanted,
        version=first.subject.version,
        rivals=[rival.version for rival in model.position.rivals] if is_live else [],
        champion_version=champion,
        state=entries[-1][0].to_state,
        spec_revision=model.row.revision,
        yaml=model.row.yaml,
        events=[to_event(entry, tenant=model.row.tenant, champion_version=after) for entry, after in entries],
        points=[to_point(point) for point in await load_points(control.store, model.name, wanted)],
    )
