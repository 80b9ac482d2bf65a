"""One model under watch: blocks go in, alarms come out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from services.drift_detection.domain.accumulation import Block
from services.drift_detection.domain.alarms import Alarm, Change, end_all, settle
from services.drift_detection.domain.distributions import (
    Reference,
    Thresholds,
    distribution_verdicts,
    quality_verdicts,
    total,
)
from services.drift_detection.domain.errors_over_time import (
    Detectors,
    ErrorBlock,
    concept_verdict,
    performance_verdict,
)
from services.drift_detection.domain.sketch import EMPTY, Sketch, merge, subtract
from services.drift_detection.domain.unusual import unusual_verdicts
from services.drift_detection.domain.verdicts import Verdict

QUALITY_BLOCKS: Final = 2
MAX_ERROR_BLOCKS: Final = 512
MAX_POSITIONS: Final = 64
_MIN_BLOCKS: Final = 2  # for a variance


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner of the model asked for."""

    block_rows: int
    window_rows: int
    performance_window_rows: int
    performance_drop: float
    thresholds: Thresholds
    detectors: Detectors

    @property
    def performance_blocks(self) -> int:
        """Blocks on each side of the comparison of accuracies."""
        return max(_MIN_BLOCKS, -(-self.performance_window_rows // self.block_rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """Who is watched: the version that serves, since which route epoch, and its training data."""

    version: str
    epoch: int
    reference: Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """Everything remembered of one model; bounded, and a function of the blocks that were applied."""

    version: str = ""
    since_epoch: int = 0
    positions: Mapping[str, int] = field(default_factory=dict)  # source -> last offset applied
    bases: Mapping[str, Block] = field(default_factory=dict)  # source -> what of its open slot is counted
    open_rows: Sketch = EMPTY
    window: tuple[Sketch, ...] = ()
    looks_at_rows: int = 0
    open_labels: Sketch = EMPTY
    first_errors: tuple[ErrorBlock, ...] = ()
    errors: tuple[ErrorBlock, ...] = ()
    looks_at_labels: int = 0
    alarms: tuple[Alarm, ...] = ()


def crown(state: ModelState, champion: Champion) -> tuple[ModelState, list[Change]]:
    """Begin anew where another version serves now: the old one's alarms end with its reign."""
    if champion.version == state.version:
        return state, []
    fresh = ModelState(version=champion.version, since_epoch=champion.epoch, positions=state.positions)
    why = f"Version {champion.version} serves now instead of version {state.version}."
    return fresh, end_all(state.alarms, why)


def apply(
    state: ModelState, source: str, block: Block, *, champion: Champion, policy: Policy
) -> tuple[ModelState, list[Change]]:
    """Count what is new in a block of any version; look whenever enough has come together.

    Args:
        state: The model so far.
        source: Topic, partition and version of the block.
        block: The slot as far as it was filled; what of it was counted before is not counted again.
        champion: The version that serves.
        policy: Sizes and thresholds.
    """
    if block.last_offset <= state.positions.get(source, -1):
        return state, []
    state = replace(state, positions=_moved(state.positions, source, block.last_offset))
    if not source.endswith(f"/{champion.version}"):
        return state, []
    base = state.bases.get(source)
    new = block.sketch
    if base is not None and base.first_offset == block.first_offset:
        new = subtract(block.sketch, base.sketch)
    state = replace(state, bases={**state.bases, source: block})
    if new.labels:
        return _with_labels(state, new, policy=policy)
    return _with_rows(state, new, champion=champion, policy=policy)


def _moved(positions: Mapping[str, int], source: str, offset: int) -> dict[str, int]:
    """Versions come and go: what has not moved for longest is dropped."""
    others = [item for item in positions.items() if item[0] != source]
    return dict([*others, (source, offset)][-MAX_POSITIONS:])


def _with_rows(
    state: ModelState, new: Sketch, *, champion: Champion, policy: Policy
) -> tuple[ModelState, list[Change]]:
    open_rows = merge(state.open_rows, new)
    if open_rows.rows < policy.block_rows:
        return replace(state, open_rows=open_rows), []
    size = -(-policy.window_rows // policy.block_rows)
    window = (*state.window, open_rows)[-size:]
    state = replace(state, open_rows=EMPTY, window=window, looks_at_rows=state.looks_at_rows + 1)
    latest = total(window[-QUALITY_BLOCKS:])
    verdicts = list(quality_verdicts(latest, champion.reference, threshold=policy.thresholds.quality))
    whole = total(window)
    if whole.rows >= policy.window_rows:
        verdicts += distribution_verdicts(whole, champion.reference, thresholds=policy.thresholds)
        verdicts += unusual_verdicts(whole, champion.reference, rate=policy.thresholds.unusual_rate)
    return _settled(state, verdicts, look=state.looks_at_rows)


def _with_labels(state: ModelState, new: Sketch, *, policy: Policy) -> tuple[ModelState, list[Change]]:
    open_labels = merge(state.open_labels, new)
    if open_labels.labels < policy.block_rows:
        return replace(state, open_labels=open_labels), []
    block = ErrorBlock(
        labels=open_labels.labels,
        errors=open_labels.errors,
        start_s=open_labels.first_at_s,
        end_s=open_labels.last_at_s,
    )
    state = replace(
        state,
        open_labels=EMPTY,
        errors=_bounded((*state.errors, block)),
        first_errors=(*state.first_errors, block)[: policy.performance_blocks],
        looks_at_labels=state.looks_at_labels + 1,
    )
    verdicts = [concept_verdict(state.errors, detectors=policy.detectors)]
    if state.looks_at_labels >= 2 * policy.performance_blocks:
        recent = state.errors[-policy.performance_blocks :]
        verdicts.append(performance_verdict(state.first_errors, recent, drop=policy.performance_drop))
    return _settled(state, verdicts, look=state.looks_at_labels)


def _bounded(errors: tuple[ErrorBlock, ...]) -> tuple[ErrorBlock, ...]:
    """Forget in one large step: each step moves the detectors' start, and they must not start anew often."""
    return errors[-(MAX_ERROR_BLOCKS // 2) :] if len(errors) > MAX_ERROR_BLOCKS else errors


def _settled(state: ModelState, verdicts: list[Verdict], *, look: int) -> tuple[ModelState, list[Change]]:
    prefix = f"{state.version}@{state.since_epoch}"
    alarms, changes = settle(state.alarms, verdicts, id_prefix=prefix, look=look)
    return replace(state, alarms=alarms), changes
