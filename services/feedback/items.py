"""One feedback message of a batch: the claim it makes, and what is needed to park it or keep it apart."""

from dataclasses import dataclass
from typing import Any

from services.feedback.claims import as_text, kept_headers, read_claim
from services.feedback.domain.claim import Claim, Reason, Refusal
from services.feedback.domain.form import fault_of
from services.feedback.domain.identity import identity_of, subject_digest
from services.feedback.domain.ledger import Arrival
from services.feedback.domain.ownership import owner_of
from services.feedback.store.entries import NewParked, ParkedFeedback, Position, Quarantined
from slipway.envelope import Event
from slipway.tokens import Owner
from slipway.v1.feedback_pb2 import FeedbackReceived


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A claim with its message; `verdict` is the owner it speaks for, or why it was refused at once."""

    claim: Claim
    verdict: Owner | Refusal
    message: Any  # FeedbackReceived
    position: Position
    headers: dict[str, str]
    received_at_s: float
    is_from_park: bool = False

    @property
    def arrival(self) -> Arrival | None:
        """What the ledger decides about; None when the claim was refused at once."""
        if isinstance(self.verdict, Refusal):
            return None
        return Arrival(claim=self.claim, owner=self.verdict, is_from_park=self.is_from_park)

    @property
    def subject(self) -> bytes | None:
        """The digest of the prediction that a believable claim names."""
        return None if isinstance(self.verdict, Refusal) else subject_digest(self.claim.subject, self.verdict)

    @property
    def identity(self) -> bytes | None:
        """What all deliveries of a believable claim share."""
        return None if isinstance(self.verdict, Refusal) else identity_of(self.claim, self.verdict)


def read_item(event: Event, *, secret: bytes, now_s: float) -> Item:
    """An item out of Kafka: its form is checked first, then its token."""
    event.message.DiscardUnknownFields()
    claim = read_claim(event.message, event_id=event.event_id)
    return Item(
        claim=claim,
        verdict=fault_of(claim) or owner_of(claim, secret),
        message=event.message,
        position=Position(
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            timestamp_ms=event.timestamp_ms,
        ),
        headers=kept_headers(event),
        received_at_s=now_s,
    )


def unpark(parked: ParkedFeedback) -> Item:
    """An item out of the park; its token was verified when it was parked."""
    message = FeedbackReceived.FromString(parked.message)
    return Item(
        claim=read_claim(message, event_id=parked.event_id),
        verdict=parked.owner,
        message=message,
        position=parked.position,
        headers={"ce_id": parked.event_id} if parked.event_id else {},
        received_at_s=parked.received_at_s,
        is_from_park=True,
    )


def to_park(item: Item, *, subject: bytes, wait_s: float) -> NewParked:
    """What is stored of an item whose prediction is not here yet."""
    assert isinstance(item.verdict, Owner)
    return NewParked(
        subject=subject,
        model=item.claim.subject.model,
        expires_at_s=item.received_at_s + wait_s,
        feedback=ParkedFeedback(
            owner=item.verdict,
            message=item.message.SerializeToString(),
            event_id=item.claim.event_id,
            received_at_s=item.received_at_s,
            position=item.position,
        ),
    )


def to_quarantine(item: Item, refusal: Refusal) -> Quarantined:
    """What is kept of a refused item."""
    return Quarantined(
        position=item.position,
        reason=refusal.reason.value,
        detail=refusal.detail,
        model=refusal.model,
        payload=as_text(item.message),
        headers=item.headers,
    )


def overdue(parked: ParkedFeedback) -> Quarantined:
    """What is kept of an item whose prediction never came."""
    item = unpark(parked)
    return to_quarantine(
        item,
        Refusal(
            reason=Reason.UNKNOWN_PREDICTION,
            detail="no record of the prediction came within the horizon",
            model=item.claim.subject.model,
        ),
    )
