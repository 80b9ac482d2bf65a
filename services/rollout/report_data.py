"""Everything that is kept of one rollout."""

from services.rollout.control import Control, Model
from services.rollout.messages import to_event
from slipway.errors import NotFound
from slipway.v1 import rollout_pb2


async def build_report(control: Control, model: Model, rollout_id: str) -> rollout_pb2.RolloutReport:
    """The log of one rollout, and the spec that it follows; an id may be shortened.

    Raises:
        NotFound: No such rollout.
    """
    newest_first = await control.store.load_events(model.name, limit=10_000)
    entries = newest_first[::-1]
    wanted = rollout_id or model.position.rollout_id
    own = [
        (at, entry) for at, (entry, _) in enumerate(entries) if wanted and entry.rollout_id.startswith(wanted)
    ]
    if not own:
        raise NotFound(
            f"{model.name}: no rollout {rollout_id or 'yet'}; `slipway rollout list` shows the models"
        )
    first_at, first = own[0]
    events = [
        to_event(entry, tenant=model.row.tenant, champion_version=entries[at][1])
        for at, entry in own
        if entry.rollout_id == first.rollout_id
    ]
    return rollout_pb2.RolloutReport(
        model=model.name,
        rollout_id=first.rollout_id,
        version=first.subject.version,
        champion_version=entries[first_at - 1][1] if first_at else "",
        state=events[-1].to_state,
        spec_revision=model.row.revision,
        yaml=model.row.yaml,
        events=events,
    )
