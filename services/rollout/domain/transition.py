"""What one more entry of the log takes over from the position before it."""

from dataclasses import replace

from services.rollout.domain import tally as tallies
from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import BEGINNINGS, IN_PLACE, STEPS, State
from services.rollout.domain.tally import Tally


def completed(before: Position, entry: LogEntry) -> LogEntry:
    """The entry itself; one that changes no route says what the routes are."""
    if entry.trigger not in IN_PLACE:
        return entry
    return replace(
        entry,
        rivals=before.rivals,
        step=before.step,
        weight_ppm=before.weight_ppm,
        mirror_ppm=before.mirror_ppm,
        max_mirrored_per_s=before.max_mirrored_per_s,
    )


def tally_after(before: Position, entry: LogEntry, tally: Tally) -> Tally:
    """The counts that go on behind an entry."""
    if entry.trigger in BEGINNINGS:
        return tallies.begin_rollout(entry.rollout_id)
    if entry.trigger in IN_PLACE or entry.to_state not in STEPS | {State.BAKE}:
        return tally
    if before.subject != entry.subject:  # a rival has won
        tally = tallies.begin_subject(tally, entry.subject.version)
    return tallies.begin_step(tally, entry.to_state)
