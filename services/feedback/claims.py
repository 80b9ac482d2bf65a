"""A FeedbackReceived as a claim in plain values, and as text for people."""

from typing import Any, Final

from google.protobuf import text_format

from services.feedback.domain.claim import Claim, Content, Kind, Subject
from slipway.envelope import Event

_MAX_TEXT_CHARACTERS: Final = 8192
_KEPT_HEADERS: Final = ("ce_id", "ce_source", "ce_type", "ce_time", "content-type")
_MAX_HEADER_CHARACTERS: Final = 256


def read_claim(message: Any, *, event_id: str) -> Claim:
    """The claim that a FeedbackReceived makes."""
    at = message.observed_at
    return Claim(
        subject=Subject(
            prediction_id=message.prediction_id,
            model=message.model,
            business_key=message.business_key,
            row=message.row,
        ),
        content=_content(message),
        token=message.feedback_token,
        source=message.source,
        observed_at_s=at.seconds + at.nanos / 1e9 if message.HasField("observed_at") else None,
        feedback_id=message.feedback_id,
        event_id=event_id,
    )


def _content(message: Any) -> Content:
    match message.WhichOneof("content"):
        case "label" | "edited_label" as kind:
            return Content(kind=Kind(kind), text=getattr(message, kind))
        case "rating" | "business_value" as kind:
            return Content(kind=Kind(kind), number=getattr(message, kind))
        case "accepted" | "retract" as kind:
            return Content(kind=Kind(kind), is_yes=getattr(message, kind))
        case _:
            return Content(kind=Kind.NOTHING)


def as_text(message: Any) -> str:
    """Protobuf's text format, which also shows what JSON cannot hold; cut when long."""
    return text_format.MessageToString(message)[:_MAX_TEXT_CHARACTERS]


def kept_headers(event: Event) -> dict[str, str]:
    """The headers that say where a message is from, cut to a size that can be stored."""
    given = {name: event.headers[name] for name in _KEPT_HEADERS if name in event.headers}
    return {name: text.replace("\0", "")[:_MAX_HEADER_CHARACTERS] for name, text in given.items()}
