"""What the store takes and gives, beside the domain's own types."""

from dataclasses import dataclass
from typing import Any

from services.feedback.domain.claim import Content
from services.feedback.domain.ledger import RowKey, StoredRow
from slipway.tokens import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a message lies in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedFeedback:
    """Early feedback: the message, for whom it speaks, where it came from."""

    owner: Owner
    message: bytes
    event_id: str
    received_at_s: float
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class NewParked:
    """Feedback to be parked until `expires_at_s`."""

    subject: bytes
    model: str
    expires_at_s: float
    feedback: ParkedFeedback


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Feedback that is kept apart, for people."""

    position: Position
    reason: str
    detail: str
    model: str
    payload: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Something that was said beside labels."""

    identity: bytes
    key: RowKey
    model: str
    content: Content
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRow:
    """A row with everything that its label event repeats."""

    stored: StoredRow
    context: Any  # columns of the row and its prediction, by name

    @property
    def served_at_s(self) -> float:
        """When it was answered, in seconds since 1970."""
        return float(self.context["served_at"].timestamp())


def parked_of(row: Any) -> ParkedFeedback:
    """A row of `parked`."""
    return ParkedFeedback(
        owner=Owner(row["tenant"], row["principal"]),
        message=row["message"],
        event_id=row["event_id"],
        received_at_s=row["received_at"].timestamp(),
        position=Position(
            topic=row["source_topic"],
            partition=row["source_partition"],
            offset=row["source_offset"],
            timestamp_ms=row["source_timestamp_ms"],
        ),
    )
