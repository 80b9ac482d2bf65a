import math
from typing import Any

import pytest

from services.feedback.domain.claim import Claim, Content, Kind, Reason, Subject
from services.feedback.domain.form import MAX_CHARACTERS, fault_of, is_storable

GOOD = Content(kind=Kind.LABEL, text="1")


def claim(subject: Subject | None = None, content: Content = GOOD, **more: Any) -> Claim:
    return Claim(subject=subject or Subject(prediction_id="p"), content=content, **more)


@pytest.mark.parametrize(
    "good",
    [
        claim(),
        claim(Subject(business_key="order-1", model="m")),
        claim(content=Content(kind=Kind.RETRACT, is_yes=True)),
        claim(content=Content(kind=Kind.ACCEPTED, is_yes=False)),
        claim(content=Content(kind=Kind.RATING, number=1.0)),
        claim(content=Content(kind=Kind.BUSINESS_VALUE, number=-12.5)),
        claim(observed_at_s=0.0, source="till", feedback_id="f", event_id="e", token="t"),
        claim(content=Content(kind=Kind.LABEL, text="x" * MAX_CHARACTERS)),
    ],
)
def test_a_complete_claim_has_no_fault(good: Claim) -> None:
    assert fault_of(good) is None


@pytest.mark.parametrize(
    ("bad", "reason", "word"),
    [
        (claim(Subject()), Reason.NO_SUBJECT, "prediction_id"),
        (claim(Subject(business_key="order-1")), Reason.NO_SUBJECT, "model"),
        (claim(Subject(prediction_id="p", row=2**31)), Reason.BAD_ROW, "row"),
        (claim(content=Content(kind=Kind.NOTHING)), Reason.NO_CONTENT, "label"),
        (claim(content=Content(kind=Kind.RETRACT, is_yes=False)), Reason.NO_CONTENT, "retract"),
        (claim(content=Content(kind=Kind.RATING, number=1.1)), Reason.BAD_FIELD, "rating"),
        (claim(content=Content(kind=Kind.RATING, number=math.nan)), Reason.BAD_FIELD, "rating"),
        (
            claim(content=Content(kind=Kind.BUSINESS_VALUE, number=math.inf)),
            Reason.BAD_FIELD,
            "business_value",
        ),
        (claim(content=Content(kind=Kind.LABEL, text="x" * 1025)), Reason.BAD_FIELD, "label has 1025"),
        (claim(content=Content(kind=Kind.EDITED_LABEL, text="a\0")), Reason.BAD_FIELD, "edited_label"),
        (claim(Subject(prediction_id="p\0")), Reason.BAD_FIELD, "NUL"),
        (claim(source="s" * 5000), Reason.BAD_FIELD, "source"),
        (claim(event_id="\0"), Reason.BAD_FIELD, "ce_id"),
        (claim(observed_at_s=1e15), Reason.BAD_FIELD, "observed_at"),
        (claim(observed_at_s=-1e15), Reason.BAD_FIELD, "observed_at"),
    ],
)
def test_names_the_first_fault(bad: Claim, reason: Reason, word: str) -> None:
    fault = fault_of(bad)
    assert fault is not None
    assert fault.reason is reason
    assert word in fault.detail


def test_only_bounded_text_reaches_the_store() -> None:
    assert is_storable("p" * MAX_CHARACTERS)
    assert not is_storable("p" * (MAX_CHARACTERS + 1))
    assert not is_storable("p\0")
