from pathlib import Path

import pytest

from services.gateway.catalog import Catalog
from services.gateway.handlers.feedback import FeedbackDoor, content_id
from services.gateway.permissions import Permissions
from services.gateway.spool import Spool
from services.gateway.web import parse_items
from slipway import tokens
from slipway.envelope import decode
from slipway.errors import InvalidInput, Overloaded
from slipway.identity.api_keys import ApiKey, caller_of, mac_of, text_of
from slipway.identity.key_book import KeyBook
from slipway.policy.access import builtin_policies
from slipway.v1.feedback_pb2 import FeedbackReceived
from tests.gateway.limits.stand_in import at_once, limits_of
from tests.identity.known import authenticator_of, bearer

SECRET = b"s" * 32
TEXT = text_of("k1", "secret")
KEY = ApiKey(key_id="k1", principal="shop", tenant="default", mac=mac_of(SECRET, TEXT))


def door(folder: Path, limit_bytes: int = 1_000_000) -> tuple[FeedbackDoor, Spool]:
    book = KeyBook(SECRET)
    book.replace([KEY])
    spool = Spool(folder / "feedback", limit_bytes=limit_bytes, segment_bytes=500_000)
    permissions = Permissions(builtin_policies(), Catalog())
    it = FeedbackDoor(
        authenticator_of(book), spool, permissions=permissions, limits=limits_of(), token_secret=SECRET
    )
    return it, spool


def test_reads_one_item_or_a_list_in_the_proto3_json_mapping() -> None:
    one = b'{"predictionId": "p", "label": "1", "observedAt": "2026-01-02T03:04:05Z"}'
    assert parse_items(one) == parse_items(b"[" + one + b"]")
    assert parse_items(b'{"prediction_id": "p", "row": 3, "retract": true}')[0].row == 3


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"3", r"items\[0\] is not an object"),
        (b'[{}, {"row": -1}]', r"items\[1\]: .*row"),
        (b'{"lable": "1"}', "lable"),
    ],
)
def test_says_what_it_cannot_read(body: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse_items(body)


def test_accepted_feedback_is_signed_and_on_disk(tmp_path: Path) -> None:
    it, spool = door(tmp_path)
    caller = it.authenticate(bearer(TEXT))
    items = [
        FeedbackReceived(prediction_id="p", label="1", feedback_token="forged"),
        FeedbackReceived(business_key="order-1", model="m", label="0", feedback_id="mine"),
    ]
    ids = at_once(it.take(items, caller=caller, protocol="grpc"))
    messages, _ = spool.read()
    found = [decode(m.topic, key=m.key.encode(), value=m.value, headers=m.headers) for m in messages]
    assert [e.event_id for e in found] == ids
    assert ids[1] == "mine"
    for event, subject in zip(found, ("p", "key:order-1"), strict=True):
        assert tokens.verify(SECRET, event.message.feedback_token, subject=subject) == tokens.Owner(
            "default", "shop"
        )
        assert event.key == subject


def test_one_bad_item_means_that_none_is_taken(tmp_path: Path) -> None:
    it, spool = door(tmp_path)
    items = [FeedbackReceived(prediction_id="p", label="1"), FeedbackReceived(prediction_id="p")]
    with pytest.raises(InvalidInput, match=r"items\[1\]"):
        at_once(it.take(items, caller=caller_of(KEY), protocol="grpc"))
    assert spool.read()[0] == []


def test_a_full_spool_refuses(tmp_path: Path) -> None:
    it, _ = door(tmp_path, limit_bytes=1)
    at_once(it.take([FeedbackReceived(prediction_id="p", label="1")], caller=caller_of(KEY), protocol="grpc"))
    with pytest.raises(Overloaded, match="send it again later"):
        at_once(
            it.take([FeedbackReceived(prediction_id="p", label="1")], caller=caller_of(KEY), protocol="grpc")
        )


def test_the_same_words_have_the_same_id() -> None:
    item = FeedbackReceived(prediction_id="p", label="1")
    assert content_id(item) == content_id(FeedbackReceived(prediction_id="p", label="1"))
    assert content_id(item) != content_id(FeedbackReceived(prediction_id="p", label="0"))
