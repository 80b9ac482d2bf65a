"""What became of an answer, as an event of the topic `labels`: no label, but what the business learned."""

from collections.abc import Mapping
from typing import Any, Final

from services.feedback.domain.claim import Content, Kind
from services.feedback.domain.ledger import RowKey
from services.feedback.label_events import stamp, stamp_of
from slipway import envelope
from slipway.envelope import Outgoing
from slipway.v1.feedback_pb2 import OutcomeMatched

_REPEATED: Final = (
    *("tenant", "principal", "model", "version", "digest", "arm", "route_epoch"),
    *("unit", "pinned"),
)
_IDENTITY_BYTES: Final = 16  # of 32: enough to tell the feedbacks of one row apart


def outcome_of(content: Content) -> Mapping[str, Any] | None:
    """The outcome that a claim tells, as fields of the event; None where it tells none.

    An answer that was replaced by another one was not accepted.
    """
    match content.kind:
        case Kind.ACCEPTED:
            return {"accepted": content.is_yes}
        case Kind.EDITED_LABEL:
            return {"accepted": False}
        case Kind.RATING:
            return {"rating": content.number}
        case Kind.BUSINESS_VALUE:
            return {"business_value": content.number}
        case _:
            return None


def outcome_event(
    key: RowKey,
    outcome: Mapping[str, Any],
    *,
    context: Any,
    identity: bytes,
    source: str,
    observed_at_s: float,
    now_s: float,
) -> Outgoing:
    """The event that tells an outcome.

    Args:
        key: The row.
        outcome: Of `outcome_of`.
        context: Columns of the row and its prediction, by name.
        identity: Of the feedback: its event has the same id however often it is made.
        source: Who said it.
        observed_at_s: When the source saw it.
        now_s: When it was joined.
    """
    prediction_id, row = key
    message = OutcomeMatched(
        **_repeated(context),
        prediction_id=prediction_id,
        row=row,
        source=source,
        observed_at=stamp(observed_at_s),
        matched_at=stamp(now_s),
        **outcome,
    )
    event_id = f"{prediction_id}/{row}/outcome/{identity[:_IDENTITY_BYTES].hex()}"
    return envelope.encode("labels", message, key=prediction_id, event_id=event_id, source="feedback")


def _repeated(context: Any) -> dict[str, Any]:
    """What the event repeats of the prediction."""
    return {name: context[name] for name in _REPEATED} | {"served_at": stamp_of(context["served_at"])}
