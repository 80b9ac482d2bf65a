"""From records of one source partition to blocks: a pure function of the partition's log.

A version's records fill a slot. A block is the slot as far as it is filled, so blocks with the same
first offset contain each other, and whoever has the longer one has both. Where the readers of a
partition stopped and began again therefore makes no difference to what is counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from services.drift_detection.domain.sketch import Sketch, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The sketch of a version's records from `first_offset` to `last_offset` of one partition."""

    first_offset: int
    last_offset: int
    sketch: Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Accumulator:
    """The open slot of each version of one model in one partition, and what has been counted."""

    applied_offset: int = -1
    slots: Mapping[str, Block] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One record as it will be counted."""

    offset: int
    version: str
    sketch: Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a slot holds, and of how many versions a slot is kept open."""

    slot_rows: int
    versions: int


def accumulate(
    state: Accumulator, observations: Iterable[Observation], *, limits: Limits
) -> tuple[Accumulator, list[tuple[str, Block]]]:
    """Count records that were not counted before.

    Args:
        state: What has been counted so far.
        observations: Records in the order of their offsets; those counted already are passed over.
        limits: Size of a slot and number of slots.
    Returns:
        The new state, and the blocks to publish by version: full slots, then the open ones that grew.
    """
    slots, applied = dict(state.slots), state.applied_offset
    full: list[tuple[str, Block]] = []
    grown: set[str] = set()
    for seen in observations:
        if seen.offset <= applied:
            continue
        applied = seen.offset
        slot = _grow(slots.get(seen.version), seen)
        if slot.sketch.rows + slot.sketch.labels >= limits.slot_rows:
            full.append((seen.version, slot))
            slots.pop(seen.version, None)
            grown.discard(seen.version)
        else:
            slots[seen.version] = slot
            grown.add(seen.version)
    blocks = full + [(version, slots[version]) for version in sorted(grown)]
    return Accumulator(applied_offset=applied, slots=_newest(slots, limits.versions)), blocks


def _grow(slot: Block | None, seen: Observation) -> Block:
    if slot is None:
        return Block(first_offset=seen.offset, last_offset=seen.offset, sketch=seen.sketch)
    return replace(slot, last_offset=seen.offset, sketch=merge(slot.sketch, seen.sketch))


def _newest(slots: dict[str, Block], count: int) -> dict[str, Block]:
    """Slots of versions that are gone would stay for ever; their blocks are published already."""
    newest = sorted(slots, key=lambda version: slots[version].last_offset, reverse=True)[:count]
    return {version: slots[version] for version in sorted(newest)}
