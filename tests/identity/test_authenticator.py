"""What is remembered of who was recognised, and for how long."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.clock import ManualClock
from slipway.errors import Unauthenticated
from slipway.identity import authenticator as module
from slipway.identity.api_keys import ApiKey, mac_of, text_of
from slipway.identity.authenticator import TRUSTED_S
from slipway.identity.credentials import Credentials
from slipway.identity.json_web_tokens import verify
from slipway.identity.key_book import KeyBook
from tests.identity import issuer
from tests.identity.issuer import NOW_S, claims, token
from tests.identity.known import bearer, parts_of, write

PEPPER = b"p" * 32
TEXT = text_of("k1", "secret")
KEY = ApiKey(key_id="k1", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT))


class Bench:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        write(folder, {"issuers.yaml": issuer.FROM_FILE, "jwks/acme.json": issuer.jwks("ec-1", "rsa-1")})
        self.book, self.clock = KeyBook(PEPPER), ManualClock(NOW_S)
        self.book.replace([KEY])
        self.it, self.access, _ = parts_of(self.book, folder=folder, clock=self.clock)
        self.verified = 0

        def counted(*given: Any, **more: Any) -> Any:
            self.verified += 1
            return verify(*given, **more)

        monkeypatch.setattr("slipway.identity.authenticator.verify", counted)

    def comes_in(self, text: str) -> bool:
        try:
            self.it.identify(bearer(text))
        except Unauthenticated:
            return False
        return True


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_token_stands_for_whom_its_claims_name(bench: Bench) -> None:
    who = bench.it.identify(bearer(token(claims(jti="t-1", realm={"groups": ["ml-owners", "ml-apps"]}))))
    assert (who.principal, who.tenant, who.roles, who.method) == (
        "acme:shop",
        "acme",
        ("app", "owner"),
        "jwt",
    )
    assert who.credential_id == f"{issuer.ISSUER}#t-1"
    plain = bench.it.identify(bearer(token(claims(realm=None))))
    assert plain.roles == ()
    assert plain.credential_id.startswith(f"{issuer.ISSUER}#sha256:")


def test_a_token_is_verified_once_a_minute_and_never_beyond_its_end(bench: Bench) -> None:
    text = token(claims(exp=NOW_S + 100))
    assert all(bench.comes_in(text) for _ in range(3))
    assert bench.verified == 1
    bench.clock.advance(TRUSTED_S)
    assert bench.comes_in(text)
    assert bench.verified == 2
    bench.clock.advance(100 + 30 - TRUSTED_S - 0.1)
    assert bench.comes_in(text)
    bench.clock.advance(0.2)
    assert not bench.comes_in(text)


def test_nothing_is_remembered_beyond_a_change_of_issuers(bench: Bench) -> None:
    text = token()
    assert bench.comes_in(text)
    write(bench.folder, {"jwks/acme.json": issuer.jwks("rsa-1")})
    assert bench.access.look()
    assert not bench.comes_in(text)
    write(bench.folder, {"issuers.yaml": "issuers: {"})
    assert not bench.access.look()
    assert bench.comes_in(token(key="rsa-1"))


def test_a_key_that_was_recognised_ends_with_its_time_and_with_its_revocation(bench: Bench) -> None:
    bench.book.replace([replace(KEY, expires_at_s=NOW_S + 10)])
    assert bench.comes_in(TEXT)
    bench.clock.advance(10)
    assert not bench.comes_in(TEXT)
    bench.book.replace([KEY])
    assert bench.comes_in(TEXT)
    bench.book.replace([])
    assert not bench.comes_in(TEXT)


def test_what_is_remembered_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KNOWN", 2)
    texts = [token(claims(sub=f"shop-{at}")) for at in range(3)]
    assert all(bench.comes_in(text) for text in texts * 2)
    assert bench.verified == 6  # 3, had all of them been kept


def test_a_credential_of_no_sane_size_is_none(bench: Bench) -> None:
    with pytest.raises(Unauthenticated, match="over 16384 characters"):
        bench.it.identify(Credentials(api_key="x" * 16385))
