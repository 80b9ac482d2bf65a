"""Saving what was counted where nothing moved: counts, evidence, offsets and findings in one transaction."""

from services.rollout.chronicle import due_point, with_point
from services.rollout.control import Control, Model
from services.rollout.domain.tally import Tally
from services.rollout.evidence_store import write_evidence, write_point


async def save_counts(control: Control, model: Model, tally: Tally) -> None:
    """Store a tally and everything beside it; the model must be locked.

    Raises:
        Fenced: Another process holds the lease.
    """
    now_s = control.clock.now_s()
    point = due_point(tally, model.policy, model.position, last=model.last_findings, now_s=now_s)
    counted = with_point(tally, point) if point else tally
    async with control.store.writing(control.writer) as connection:
        await write_evidence(connection, model.name, before=model.tally, after=counted, unsaved=model.unsaved)
        if point:
            await write_point(connection, model.name, tally=tally, point=point)
    model.tally = counted
    model.last_findings = point.findings if point else model.last_findings
    model.unsaved.written()
