import stat
from pathlib import Path

import pytest

from services.gateway.domain.api_keys import ApiKey, caller_of, mac_of, text_of
from services.gateway.keyring import SNAPSHOT, KeyRing
from services.gateway.snapshots import write_atomically
from slipway.errors import Unauthenticated

PEPPER = b"p" * 32
TEXT = text_of("k1", "the-secret")
KEY = ApiKey(key_id="k1", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT))


def test_nobody_comes_in_before_keys_are_loaded() -> None:
    with pytest.raises(Unauthenticated, match="waits for PostgreSQL"):
        KeyRing(PEPPER).identify(TEXT)
    assert KeyRing(PEPPER).dump() is None


def test_a_key_that_is_no_longer_listed_is_out_of_force() -> None:
    ring = KeyRing(PEPPER)
    ring.replace([KEY])
    assert ring.identify(TEXT) == caller_of(KEY)
    ring.replace([])
    with pytest.raises(Unauthenticated):
        ring.identify(TEXT)


def test_the_snapshot_opens_nothing_and_is_the_owners_alone(tmp_path: Path) -> None:
    ring = KeyRing(PEPPER)
    ring.replace([KEY])
    data = ring.dump()
    assert data is not None
    assert b"the-secret" not in data
    write_atomically(tmp_path / SNAPSHOT, data)
    assert stat.S_IMODE((tmp_path / SNAPSHOT).stat().st_mode) == 0o600
    restored = KeyRing(PEPPER)
    restored.restore(tmp_path)
    assert restored.identify(TEXT) == caller_of(KEY)


def test_no_snapshot_restores_nothing(tmp_path: Path) -> None:
    ring = KeyRing(PEPPER)
    ring.restore(tmp_path)
    assert not ring.is_loaded
