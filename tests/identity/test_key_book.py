import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from slipway.envelope import Event
from slipway.errors import Unauthenticated
from slipway.identity.api_keys import ApiKey, mac_of, text_of
from slipway.identity.key_book import SNAPSHOT, KeyBook
from slipway.snapshots import write_atomically
from slipway.v1.identities_pb2 import IdentityChanged

PEPPER = b"p" * 32
TEXT = text_of("k1", "the-secret")
KEY = ApiKey(
    key_id="k1", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT), roles=("app", "owner")
)


def told(revision: int, *, revoked: bool = False, expires_at_s: int = 0) -> Event:
    message = IdentityChanged(
        key_id="k1", principal="shop", tenant="default", roles=KEY.roles, mac=KEY.mac, revision=revision
    )
    if revoked:
        message.revoked_at.FromSeconds(5)
    if expires_at_s:
        message.expires_at.FromSeconds(expires_at_s)
    return Event(topic="identities", key="k1", message=message, event_id=f"k1/{revision}")


def opens(book: KeyBook, now_s: float = 10.0) -> bool:
    try:
        return book.find(TEXT, now_s=now_s).key_id == "k1"
    except Unauthenticated:
        return False


def test_nobody_comes_in_before_keys_are_loaded() -> None:
    with pytest.raises(Unauthenticated, match="waits to be told"):
        KeyBook(PEPPER).find(TEXT, now_s=0.0)
    assert KeyBook(PEPPER).dump() is None


def test_a_key_that_is_no_longer_listed_is_out_of_force() -> None:
    counts: list[int] = []
    book = KeyBook(PEPPER, note_count=counts.append)
    book.replace([KEY])
    assert book.find(TEXT, now_s=0.0) == KEY
    book.replace([])
    assert not opens(book)
    assert counts == [1, 0]


def test_what_the_topic_tells_is_in_force_until_it_tells_otherwise() -> None:
    book = KeyBook(PEPPER)
    book.apply(told(3, expires_at_s=100))
    assert book.find(TEXT, now_s=10.0) == replace(KEY, expires_at_s=100.0)
    assert [opens(book, 99.0), opens(book, 100.0)] == [True, False]
    book.apply(told(4))
    assert opens(book, 100.0)
    book.apply(told(7, revoked=True))
    assert not opens(book)


def test_an_older_state_brings_no_revoked_key_back_not_even_after_a_restart(tmp_path: Path) -> None:
    book = KeyBook(PEPPER)
    book.apply(told(7, revoked=True))
    book.apply(told(6))
    assert not opens(book)
    write_atomically(tmp_path / SNAPSHOT, book.dump() or b"")
    again = KeyBook(PEPPER)
    again.restore(tmp_path)
    again.apply(told(6))
    assert again.is_loaded
    assert not opens(again)


def test_an_empty_topic_is_all_there_is_as_well() -> None:
    book = KeyBook(PEPPER)
    book.note_complete()
    revision = book.changes.revision
    book.note_complete()
    assert (book.is_loaded, opens(book), book.changes.revision) == (True, False, revision)


def test_the_snapshot_opens_nothing_and_is_the_owners_alone(tmp_path: Path) -> None:
    book = KeyBook(PEPPER)
    book.replace([replace(KEY, expires_at_s=50.0)])
    data = book.dump()
    assert data is not None
    assert b"the-secret" not in data
    write_atomically(tmp_path / SNAPSHOT, data)
    assert stat.S_IMODE((tmp_path / SNAPSHOT).stat().st_mode) == 0o600
    restored = KeyBook(PEPPER)
    restored.restore(tmp_path)
    assert restored.find(TEXT, now_s=0.0) == replace(KEY, expires_at_s=50.0)
    assert not opens(restored, 50.0)


def test_a_snapshot_of_before_there_were_roles_is_of_applications(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"key_id": "k1", "principal": "shop", "tenant": "default", "mac": KEY.mac.hex()}
    (tmp_path / SNAPSHOT).write_bytes(orjson.dumps([entry]))
    book = KeyBook(PEPPER)
    book.restore(tmp_path)
    assert book.find(TEXT, now_s=0.0).roles == ("app",)


def test_no_snapshot_restores_nothing(tmp_path: Path) -> None:
    book = KeyBook(PEPPER)
    book.restore(tmp_path)
    assert not book.is_loaded


def test_who_carries_a_role_is_named_while_his_key_lasts() -> None:
    book = KeyBook(PEPPER)
    others = [
        replace(KEY, key_id="k2", principal="anna", expires_at_s=50.0),
        replace(KEY, key_id="k3", principal="bob", roles=("risk",)),
        replace(KEY, key_id="k4", principal="anna"),
    ]
    book.replace([KEY, *others[:2]])
    assert book.names_with("owner", now_s=49.0) == ["anna", "shop"]
    assert book.names_with("owner", now_s=50.0) == ["shop"]
    book.replace(others)
    assert book.names_with("owner", now_s=50.0) == ["anna"]
