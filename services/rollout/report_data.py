"""What a rollout's report is made of: its log, whose policy it followed, its findings over time."""

from collections.abc import Sequence

from services.rollout.control import Control, Model
from services.rollout.domain.log_entry import LogEntry
from services.rollout.evidence_store import load_points
from services.rollout.messages import to_event, to_point
from services.rollout.rows import SpecRow
from services.rollout.unsaved import Point
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
    # 0: it began before revisions were written down
    revision = entries[0][0].spec_revision or model.row.revision
    followed = await control.store.load_spec(model.name, revision) or model.row
    return report_of(entries, await load_points(control.store, model.name, wanted), followed=followed)


def report_of(
    entries: Sequence[tuple[LogEntry, str]], points: Sequence[Point], *, followed: SpecRow
) -> RolloutReport:
    """A rollout as it was, whatever has come since.

    Args:
        entries: Of its log, each with the champion after it, oldest first; at least one.
        points: Its findings over time.
        followed: The revision of the spec whose policy it followed.
    """
    first, champion = entries[0]
    return RolloutReport(
        model=first.model,
        rollout_id=first.rollout_id,
        version=first.subject.version,
        rivals=[rival.version for rival in first.rivals],
        champion_version=champion,
        state=entries[-1][0].to_state,
        spec_revision=followed.revision,
        yaml=followed.yaml,
        events=[to_event(entry, tenant=followed.tenant, champion_version=after) for entry, after in entries],
        points=[to_point(point) for point in points],
    )
