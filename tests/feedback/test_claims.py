from typing import Any

import pytest

from services.feedback.claims import as_text, kept_headers, read_claim
from services.feedback.domain.claim import Content, Kind, Subject
from slipway.envelope import Event
from slipway.v1.feedback_pb2 import FeedbackReceived


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ({"label": "1"}, Content(kind=Kind.LABEL, text="1")),
        ({"edited_label": "0"}, Content(kind=Kind.EDITED_LABEL, text="0")),
        ({"accepted": True}, Content(kind=Kind.ACCEPTED, is_yes=True)),
        ({"rating": 0.5}, Content(kind=Kind.RATING, number=0.5)),
        ({"business_value": -2.0}, Content(kind=Kind.BUSINESS_VALUE, number=-2.0)),
        ({"retract": False}, Content(kind=Kind.RETRACT)),
        ({}, Content(kind=Kind.NOTHING)),
    ],
)
def test_reads_what_is_said(said: dict[str, Any], content: Content) -> None:
    assert read_claim(FeedbackReceived(**said), event_id="").content == content


def test_reads_who_says_what_about_which_row_and_when() -> None:
    message = FeedbackReceived(
        prediction_id="p",
        business_key="k",
        model="m",
        row=2,
        feedback_token="t",
        source="till",
        feedback_id="f",
    )
    assert read_claim(message, event_id="").observed_at_s is None
    message.observed_at.FromMilliseconds(1500)
    claim = read_claim(message, event_id="e")
    assert claim.subject == Subject(prediction_id="p", model="m", business_key="k", row=2)
    assert (claim.token, claim.source, claim.feedback_id, claim.event_id) == ("t", "till", "f", "e")
    assert claim.observed_at_s == 1.5


def test_a_message_for_people_is_plain_and_short() -> None:
    text = as_text(FeedbackReceived(prediction_id="p\0ü", label="x" * 100_000))
    assert "\0" not in text
    assert len(text) == 8192


def test_only_headers_that_say_where_from_are_kept_and_cut() -> None:
    headers = {"ce_id": "a\0" + "b" * 999, "content-type": "application/json", "cookie": "secret"}
    event = Event(topic="feedback", key="", message=None, event_id="", headers=headers)
    assert kept_headers(event) == {"ce_id": "a" + "b" * 255, "content-type": "application/json"}
