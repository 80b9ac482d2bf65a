"""Whether a claim is complete and of a size that may be stored; everything in it is untrusted."""

import math
from collections.abc import Iterator
from typing import Final

from services.feedback.domain.claim import Claim, Content, Kind, Reason, Refusal

# Ids, keys and classes are short; the bound keeps a stranger's message from filling the tables.
MAX_CHARACTERS: Final = 1024
MAX_ROW: Final = 2**31 - 1
# 0001-01-01 and 9999-12-31, the range of protobuf's Timestamp: PostgreSQL and Python hold both.
FIRST_SECOND: Final = -62_135_596_800
LAST_SECOND: Final = 253_402_300_799


def fault_of(claim: Claim) -> Refusal | None:
    """The first thing that is missing or out of bounds, or None."""
    return next(_faults(claim), None)


def is_storable(text: str) -> bool:
    """Whether a stranger's text may be handed to the store."""
    return len(text) <= MAX_CHARACTERS and "\0" not in text


def _faults(claim: Claim) -> Iterator[Refusal]:
    for name, text in _texts(claim).items():
        if len(text) > MAX_CHARACTERS:
            yield _refuse(
                Reason.BAD_FIELD, f"{name} has {len(text)} characters; at most {MAX_CHARACTERS} are kept"
            )
        if "\0" in text:
            yield _refuse(Reason.BAD_FIELD, f"{name} contains the character NUL")
    subject, at_s = claim.subject, claim.observed_at_s
    if not subject.prediction_id and not (subject.business_key and subject.model):
        yield _refuse(Reason.NO_SUBJECT, "send prediction_id, or business_key together with model")
    if subject.row > MAX_ROW:
        yield _refuse(Reason.BAD_ROW, f"row {subject.row} is beyond any prediction")
    if at_s is not None and not FIRST_SECOND <= at_s <= LAST_SECOND:
        yield _refuse(Reason.BAD_FIELD, f"observed_at lies {at_s:.0f} s from 1970, outside the calendar")
    yield from _content_faults(claim.content)


def _content_faults(content: Content) -> Iterator[Refusal]:
    kind, number = content.kind, content.number
    if kind is Kind.NOTHING or (kind is Kind.RETRACT and not content.is_yes):
        yield _refuse(
            Reason.NO_CONTENT,
            "send one of label, accepted, edited_label, rating, business_value, or retract: true",
        )
    if kind is Kind.RATING and not 0 <= number <= 1:
        yield _refuse(Reason.BAD_FIELD, f"rating {number} is outside 0..1")
    if kind is Kind.BUSINESS_VALUE and not math.isfinite(number):
        yield _refuse(Reason.BAD_FIELD, f"business_value {number} is not a finite number")


def _texts(claim: Claim) -> dict[str, str]:
    return {
        "prediction_id": claim.subject.prediction_id,
        "model": claim.subject.model,
        "business_key": claim.subject.business_key,
        claim.content.kind.value: claim.content.text,
        "feedback_token": claim.token,
        "source": claim.source,
        "feedback_id": claim.feedback_id,
        "ce_id": claim.event_id,
    }


def _refuse(reason: Reason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
