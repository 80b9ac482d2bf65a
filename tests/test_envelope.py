import pytest

from slipway.envelope import JSON, decode, encode
from slipway.errors import InvalidInput
from slipway.v1.feedback_pb2 import FeedbackReceived, LabelMatched, LabelRetracted


def test_what_was_encoded_is_decoded() -> None:
    message = LabelMatched(prediction_id="p", label="1")
    out = encode("labels", message, key="p", event_id="e", source="feedback")
    event = decode("labels", key=b"p", value=out.value, headers=out.headers, partition=3, offset=9)
    assert (event.message, event.key, event.event_id, event.partition, event.offset) == (
        message,
        "p",
        "e",
        3,
        9,
    )
    assert event.headers["ce_specversion"] == "1.0"
    assert event.headers["ce_source"] == "/slipway/feedback"


def test_the_type_header_tells_messages_of_one_topic_apart() -> None:
    out = encode("labels", LabelRetracted(prediction_id="p"), key="p", event_id="e", source="feedback")
    event = decode("labels", key=None, value=out.value, headers=out.headers)
    assert isinstance(event.message, LabelRetracted)


def test_feedback_may_be_json_without_any_other_header() -> None:
    body = b'{"predictionId": "p", "label": "1", "row": 2}'
    event = decode("feedback", key=b"p", value=body, headers=[("content-type", JSON.encode())])
    assert event.message == FeedbackReceived(prediction_id="p", label="1", row=2)


@pytest.mark.parametrize(
    ("topic", "value", "headers", "message"),
    [
        ("feedback", None, [], "no value"),
        ("feedback", b"\xff\xff", [], "not a slipway.v1.FeedbackReceived"),
        ("feedback", b"{}", [("content-type", b"text/plain")], "content-type 'text/plain'"),
        ("feedback", b'{"labl": 1}', [("content-type", b"application/json")], "no field named"),
        ("feedback", b"[1", [("content-type", b"application/json")], "not a slipway"),
        ("feedback", b"\xff\xfe", [("content-type", b"application/json")], "not a slipway"),
        ("labels", b"", [], "ce_type None is not one of"),
        ("labels", b"", [("ce_type", b"slipway.v1.RouteTable")], "is not one of"),
    ],
)
def test_says_why_a_record_cannot_be_read(
    topic: str, value: bytes | None, headers: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode(topic, key=b"k", value=value, headers=headers)


def test_refuses_a_message_that_the_topic_does_not_carry() -> None:
    with pytest.raises(InvalidInput, match="topic routes does not carry"):
        encode("routes", FeedbackReceived(), key="k", event_id="e", source="x")
