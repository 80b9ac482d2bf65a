"""From records of one source partition to blocks: a pure function of the partition's log.

A version's records fill a slot. A block is the slot as far as it is filled, so blocks with the same
first offset contain each other, and whoever has the longer one has both. Where the readers of a
partition stopped and began again therefore makes no difference to what is counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.drift_detection.domain.sketch import Sketch, merge_all


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
    slots = {version: _Open([block]) for version, block in state.slots.items()}
    applied = state.applied_offset
    full: list[tuple[str, Block]] = []
    grown: set[str] = set()
    for seen in observations:
        if seen.offset <= applied:
            continue
        applied = seen.offset
        slot = slots.setdefault(seen.version, _Open([]))
        slot.add(seen)
        grown.add(seen.version)
        if slot.rows >= limits.slot_rows:
            full.append((seen.version, slot.block()))
            del slots[seen.version]
            grown.discard(seen.version)
    blocks = {version: slot.block() for version, slot in slots.items()}
    grown_blocks = [(version, blocks[version]) for version in sorted(grown)]
    state = Accumulator(applied_offset=applied, slots=_newest(blocks, limits.versions))
    return state, full + grown_blocks


class _Open:
    """A slot that is being filled; its parts are merged once, when it is asked for."""

    def __init__(self, parts: list[Block]) -> None:
        self._parts = parts
        self.rows = sum(_size(part.sketch) for part in parts)

    def add(self, seen: Observation) -> None:
        """Count one more record."""
        self._parts.append(Block(first_offset=seen.offset, last_offset=seen.offset, sketch=seen.sketch))
        self.rows += _size(seen.sketch)

    def block(self) -> Block:
        """All of it."""
        first, last = self._parts[0], self._parts[-1]
        sketch = merge_all([part.sketch for part in self._parts])
        return Block(first_offset=first.first_offset, last_offset=last.last_offset, sketch=sketch)


def _size(sketch: Sketch) -> int:
    return sketch.rows + sketch.labels


def _newest(slots: dict[str, Block], count: int) -> dict[str, Block]:
    """Slots of versions that are gone would stay for ever; their blocks are published already."""
    newest = sorted(slots, key=lambda version: slots[version].last_offset, reverse=True)[:count]
    return {version: slots[version] for version in sorted(newest)}
