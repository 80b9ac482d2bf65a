"""What feedback must say before it is accepted for processing."""

import math
from dataclasses import dataclass
from typing import Final

from slipway.errors import InvalidInput
from slipway.tokens import subject_of_key

MAX_ITEMS: Final = 1000
MAX_TEXT: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackItem:
    """The parts of one item that are checked at the door."""

    prediction_id: str
    business_key: str
    model: str
    source: str
    feedback_id: str
    content: str | None  # which field of the oneof is set
    text: str  # of a label or edited label
    number: float  # of a rating or business value


def check_count(count: int) -> None:
    """Refuse an empty list and one that is too long.

    Raises:
        InvalidInput: Says how many there may be.
    """
    if not 1 <= count <= MAX_ITEMS:
        raise InvalidInput(f"{count} items; send 1 to {MAX_ITEMS} at once")


def check_item(item: FeedbackItem, *, index: int) -> None:
    """Check one item.

    Raises:
        InvalidInput: Names the item, the field and what it needs.
    """
    problem = _subject_problem(item) or _content_problem(item) or _length_problem(item)
    if problem:
        raise InvalidInput(f"items[{index}].{problem}")


def subject_of(prediction_id: str, business_key: str) -> str:
    """What the feedback's token speaks about."""
    return prediction_id or subject_of_key(business_key)


def _subject_problem(item: FeedbackItem) -> str:
    if not item.prediction_id and not item.business_key:
        return "prediction_id: give it, or business_key with model"
    if not item.prediction_id and not item.model:
        return "model: is needed with business_key"
    return ""


def _content_problem(item: FeedbackItem) -> str:
    if item.content is None:
        return "label: give one of label, accepted, edited_label, rating, business_value, retract"
    if item.content in ("label", "edited_label") and not item.text:
        return f"{item.content}: is empty; to withdraw a label send retract"
    if item.content == "rating" and not 0 <= item.number <= 1:
        return f"rating: {item.number} is not within 0..1"
    if item.content == "business_value" and not math.isfinite(item.number):
        return f"business_value: {item.number} is not a number"
    return ""


def _length_problem(item: FeedbackItem) -> str:
    for name in ("prediction_id", "business_key", "model", "source", "feedback_id", "text"):
        length = len(getattr(item, name))
        if length > MAX_TEXT:
            return f"{name}: {length} characters; at most {MAX_TEXT}"
    return ""
