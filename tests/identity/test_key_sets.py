"""Keys by URL: rotated, away, unknown, and how often an issuer is asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from slipway.clock import ManualClock
from slipway.errors import Unauthenticated, Unavailable
from slipway.identity.api_keys import PREFIX
from slipway.identity.authenticator import Authenticator
from slipway.identity.json_web_keys import MAX_BYTES
from slipway.identity.key_book import KeyBook
from slipway.identity.key_sets import SNAPSHOT, UNKNOWN_S, KeySets, fetch_keys
from slipway.snapshots import write_atomically
from tests.identity import issuer
from tests.identity.issuer import NOW_S, claims, token
from tests.identity.known import bearer, parts_of, write


class Bench:
    """An issuer whose keys are read from what a test says, and time by hand."""

    def __init__(self, folder: Path) -> None:
        write(folder, {"issuers.yaml": issuer.FROM_URL})
        self.clock = ManualClock(NOW_S)
        self.published: bytes | None = issuer.jwks("ec-1")
        self.reads = 0
        self.authenticator: Authenticator
        self.keys: KeySets
        self.authenticator, _, self.keys = parts_of(
            KeyBook(b"p" * 32), folder=folder, clock=self.clock, fetch=self._fetch
        )

    def _fetch(self, url: str) -> bytes:
        assert url == f"{issuer.ISSUER}/keys"
        self.reads += 1
        if self.published is None:
            raise Unavailable("connection refused")
        return self.published

    async def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.keys.read_due()

    def comes_in(self, key: str = "ec-1") -> bool:
        """With a token of this moment."""
        now_s = self.clock.now_s()
        try:
            self.authenticator.identify(bearer(token(claims(iat=now_s, exp=now_s + 300), key=key)))
        except (Unauthenticated, Unavailable):
            return False
        return True


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_nobody_comes_in_before_the_keys_are_read(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="have not been read yet"):
        bench.authenticator.identify(bearer(token()))
    await bench.after(0)
    assert bench.authenticator.identify(bearer(token())).principal == "acme:shop"


async def test_a_new_key_is_known_before_long_and_an_old_one_opens_nothing_once_it_is_gone(
    bench: Bench,
) -> None:
    await bench.after(0)
    in_flight = bearer(token())
    assert bench.authenticator.identify(in_flight)
    bench.published = issuer.jwks("ec-1", "ec-2")
    await bench.after(301)
    assert bench.comes_in("ec-2")
    assert bench.comes_in("ec-1")
    in_flight = bearer(token(claims(iat=NOW_S, exp=NOW_S + 3000)))
    assert bench.authenticator.identify(in_flight)
    bench.published = issuer.jwks("ec-2")
    await bench.after(301)
    with pytest.raises(Unauthenticated, match="has no key 'ec-1'"):
        bench.authenticator.identify(in_flight)
    assert bench.comes_in("ec-2")


async def test_an_unknown_key_is_looked_for_at_once_but_not_oftener_than_is_good(bench: Bench) -> None:
    await bench.after(0)
    bench.published = issuer.jwks("ec-1", "ec-2")
    await bench.after(20)
    assert bench.reads == 1
    assert not bench.comes_in("ec-2")
    await bench.after(0)
    assert (bench.reads, bench.comes_in("ec-2")) == (2, True)
    for at in range(50):
        assert not bench.comes_in(f"ec-unknown-{at % 3}")
        await bench.after(0.1)
    assert bench.reads == 2  # within ten seconds
    await bench.after(10)
    assert bench.reads == 3
    for _ in range(50):
        assert not bench.comes_in("ec-unknown-1")
        await bench.after((UNKNOWN_S - 5) / 50)
    assert bench.reads == 3  # it was not there, and is not asked for again so soon
    await bench.after(10)
    assert not bench.comes_in("ec-unknown-1")
    await bench.after(0)
    assert bench.reads == 4


def reads(outcome: str) -> float:
    """Of the issuer's keys so far, as a metric."""
    labels = {"issuer": issuer.ISSUER, "outcome": outcome}
    return REGISTRY.get_sample_value("slipway_jwks_reads_total", labels) or 0.0


async def test_while_an_issuer_is_away_his_keys_count_until_they_are_too_old(bench: Bench) -> None:
    failed = reads("failed")
    await bench.after(0)
    for broken in (None, b"not keys", b'{"keys": []}'):
        bench.published = broken
        await bench.after(301)
        assert bench.comes_in()
    assert reads("failed") == failed + 3
    last_read = {"issuer": issuer.ISSUER}
    assert REGISTRY.get_sample_value("slipway_jwks_read_timestamp_seconds", last_read) == NOW_S
    await bench.after(3600 - 3 * 301 - 1)
    assert bench.comes_in()
    await bench.after(2)
    assert not bench.comes_in()
    with pytest.raises(Unavailable, match="nobody of this issuer is let in"):
        bench.authenticator.identify(bearer(token(claims(exp=NOW_S + 9000))))
    bench.published = issuer.jwks("ec-1")
    await bench.after(61)
    assert bench.comes_in()


async def test_a_start_without_the_issuer_goes_on_with_the_kept_keys_as_old_as_they_are(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.after(0)
    write_atomically(tmp_path / SNAPSHOT, bench.keys.dump() or b"")
    again = Bench(tmp_path)
    again.published = None
    again.keys.restore(tmp_path)
    await again.after(3599)
    assert again.comes_in()
    assert again.reads == 1  # the kept keys are no reason not to ask
    await again.after(2)
    assert not again.comes_in()


def test_no_kept_keys_restore_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.keys.restore(tmp_path / "nowhere")
    assert not bench.comes_in()
    assert PREFIX not in str(bench.keys.dump())


@contextmanager
def serving(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """The URL of a server that gives this answer to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_keys_are_read_as_they_come() -> None:
    with serving(200, b"keys") as url:
        assert fetch_keys(url) == b"keys"


def test_redirects_failures_and_floods_are_no_keys() -> None:
    with serving(200, b"elsewhere") as other:
        for status, body, headers in (
            (302, b"", {"location": other}),
            (500, b"keys", {}),
            (200, b"x" * (MAX_BYTES + 1), {}),
        ):
            with serving(status, body, **headers) as url, pytest.raises(Unavailable):
                fetch_keys(url)
    with pytest.raises(Unavailable):
        fetch_keys(other)
