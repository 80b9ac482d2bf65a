"""What a sender claims about a prediction, and why a claim is refused."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a claim says; the names are those of the message's fields."""

    LABEL = "label"
    EDITED_LABEL = "edited_label"
    ACCEPTED = "accepted"
    RATING = "rating"
    BUSINESS_VALUE = "business_value"
    RETRACT = "retract"
    NOTHING = "nothing"


class Reason(StrEnum):
    """Why a well-formed message is kept apart."""

    NO_SUBJECT = "no_subject"  # neither a prediction id nor a business key with its model
    NO_CONTENT = "no_content"
    BAD_FIELD = "bad_field"
    BAD_TOKEN = "bad_token"
    FOREIGN = "foreign"  # the prediction was served to somebody else
    BAD_ROW = "bad_row"
    UNKNOWN_CLASS = "unknown_class"
    NOT_A_NUMBER = "not_a_number"
    NO_SPEC = "no_spec"  # the model's spec, and with it its classes, is not known
    TOO_MANY_PARKED = "too_many_parked"
    UNKNOWN_PREDICTION = "unknown_prediction"  # its record did not come within the horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A claim that is kept apart, with words for its sender."""

    reason: Reason
    detail: str
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The row that a claim is about: by prediction id, else by the sender's own key."""

    prediction_id: str = ""
    model: str = ""
    business_key: str = ""
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is said: `text` for labels, `number` for ratings and values, `is_yes` for accepted and retract."""

    kind: Kind
    text: str = ""
    number: float = 0.0
    is_yes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One feedback message in plain values, not yet believed."""

    subject: Subject
    content: Content
    token: str = ""
    source: str = ""
    observed_at_s: float | None = None
    feedback_id: str = ""
    event_id: str = ""
