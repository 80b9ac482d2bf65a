from datetime import UTC, datetime

import pytest

from services.feedback.domain.claim import Content, Kind
from services.feedback.outcome_events import outcome_event, outcome_of
from slipway.envelope import Outgoing
from slipway.v1.feedback_pb2 import OutcomeMatched

CONTEXT = {
    "tenant": "t",
    "principal": "anna",
    "model": "m",
    "version": "3",
    "digest": "d",
    "arm": "canary",
    "route_epoch": 7,
    "unit": "u",
    "pinned": True,
    "served_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def event(identity: bytes, **outcome: bool | float) -> Outgoing:
    return outcome_event(
        ("p", 2),
        outcome,
        context=CONTEXT,
        identity=identity,
        source="till",
        observed_at_s=1.5,
        now_s=2.5,
    )


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (Content(kind=Kind.ACCEPTED, is_yes=True), {"accepted": True}),
        (Content(kind=Kind.ACCEPTED), {"accepted": False}),
        (Content(kind=Kind.EDITED_LABEL, text="1"), {"accepted": False}),
        (Content(kind=Kind.RATING, number=0.25), {"rating": 0.25}),
        (Content(kind=Kind.BUSINESS_VALUE, number=-2.0), {"business_value": -2.0}),
        (Content(kind=Kind.LABEL, text="1"), None),
        (Content(kind=Kind.RETRACT, is_yes=True), None),
    ],
)
def test_what_is_no_label_is_an_outcome(content: Content, outcome: dict[str, bool | float] | None) -> None:
    assert outcome_of(content) == outcome


def test_an_outcome_tells_how_the_prediction_came_to_its_version() -> None:
    out = event(b"i" * 32, accepted=False)
    message = OutcomeMatched.FromString(out.value)
    assert (out.topic, out.key) == ("labels", "p")
    assert (message.prediction_id, message.row, message.source, message.model) == ("p", 2, "till", "m")
    assert (message.version, message.arm, message.route_epoch) == ("3", "canary", 7)
    assert (message.unit, message.pinned) == ("u", True)
    assert (message.WhichOneof("outcome"), message.accepted) == ("accepted", False)
    assert (message.observed_at.ToSeconds(), message.matched_at.ToSeconds()) == (1, 2)


def test_the_same_feedback_is_the_same_event_and_another_one_is_not() -> None:
    def event_id(out: Outgoing) -> bytes:
        return dict(out.headers)["ce_id"]

    first, again, other = (
        event(b"i" * 32, rating=0.5),
        event(b"i" * 32, rating=0.5),
        event(b"j" * 32, rating=0.5),
    )
    assert event_id(first) == event_id(again) == b"p/2/outcome/" + b"i".hex().encode() * 16
    assert event_id(other) != event_id(first)
