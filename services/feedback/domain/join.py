"""A row's way from waiting to labelled, as a table."""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final


class State(StrEnum):
    """Where a row of a prediction stands."""

    PENDING = "PENDING"
    MATCHED = "MATCHED"
    RETRACTED = "RETRACTED"
    EXPIRED = "EXPIRED"


class Effect(Enum):
    """What a claim did to a row. MATCHED and CORRECTED publish LabelMatched, WITHDRAWN LabelRetracted."""

    MATCHED = "matched"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"
    CONFIRMED = "confirmed"  # the same label again: nothing changes
    NOTHING_TO_WITHDRAW = "nothing_to_withdraw"


class _Input(Enum):
    LABEL = "label"  # not the one in force
    SAME_LABEL = "same label"
    RETRACTION = "retraction"
    OTHERS_RETRACTION = "retraction by a source whose label is not in force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one row; label and source are those of the last label, also when withdrawn."""

    state: State = State.PENDING
    label: str = ""
    source: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A source names the row's label, in its canonical form."""

    label: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A source takes its label back; an empty source takes back whichever is in force."""

    source: str = ""


# A label that comes after its row has expired is still the truth: it matches as long as the record is kept.
_NEXT: Final[dict[tuple[State, _Input], tuple[State, Effect]]] = {
    (State.PENDING, _Input.LABEL): (State.MATCHED, Effect.MATCHED),
    (State.PENDING, _Input.RETRACTION): (State.PENDING, Effect.NOTHING_TO_WITHDRAW),
    (State.MATCHED, _Input.LABEL): (State.MATCHED, Effect.CORRECTED),
    (State.MATCHED, _Input.SAME_LABEL): (State.MATCHED, Effect.CONFIRMED),
    (State.MATCHED, _Input.RETRACTION): (State.RETRACTED, Effect.WITHDRAWN),
    (State.MATCHED, _Input.OTHERS_RETRACTION): (State.MATCHED, Effect.NOTHING_TO_WITHDRAW),
    (State.RETRACTED, _Input.LABEL): (State.MATCHED, Effect.MATCHED),
    (State.RETRACTED, _Input.RETRACTION): (State.RETRACTED, Effect.NOTHING_TO_WITHDRAW),
    (State.EXPIRED, _Input.LABEL): (State.MATCHED, Effect.MATCHED),
    (State.EXPIRED, _Input.RETRACTION): (State.EXPIRED, Effect.NOTHING_TO_WITHDRAW),
}
_PUBLISHED: Final = frozenset({Effect.MATCHED, Effect.CORRECTED, Effect.WITHDRAWN})


def is_published(effect: Effect) -> bool:
    """Whether an effect becomes an event; each event of a row has the next revision."""
    return effect in _PUBLISHED


def join(row: Row, incoming: Labelled | Withdrawn) -> tuple[Row, Effect]:
    """Apply what arrived last to a row: order of arrival wins.

    Args:
        row: As it stands.
        incoming: A label or its withdrawal by the row's owner.
    Returns:
        The row afterwards, and the effect. The revision grows by one with each published effect,
        so readers of `labels` can drop whatever is not newer than what they have.
    """
    state, effect = _NEXT[row.state, _classify(row, incoming)]
    if not is_published(effect):
        return row, effect
    said = {"label": incoming.label, "source": incoming.source} if isinstance(incoming, Labelled) else {}
    return replace(row, state=state, revision=row.revision + 1, **said), effect


def _classify(row: Row, incoming: Labelled | Withdrawn) -> _Input:
    is_in_force = row.state is State.MATCHED
    if isinstance(incoming, Labelled):
        return _Input.SAME_LABEL if is_in_force and incoming.label == row.label else _Input.LABEL
    is_others = is_in_force and incoming.source not in ("", row.source)
    return _Input.OTHERS_RETRACTION if is_others else _Input.RETRACTION
