"""The keys of issuers that publish them by URL: read in the background, never while a call waits."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import requests
from urllib3.exceptions import HTTPError

from slipway.changes import Changes
from slipway.clock import Clock
from slipway.errors import InvalidInput, SlipwayError, Unauthenticated, Unavailable
from slipway.identity import metrics
from slipway.identity.access_file import Issuer, is_loopback
from slipway.identity.json_web_keys import MAX_BYTES, KeySet, VerificationKey, read_keys

log = logging.getLogger(__name__)

SNAPSHOT: Final = "jwks.json"
READ_AGAIN_S: Final = 10.0
"""An issuer is asked for unknown key ids no oftener than this: whoever sends tokens cannot make us ask."""
UNKNOWN_S: Final = 60.0
"""For so long an id that the issuer did not have is not asked for again."""
_MOST_UNKNOWN: Final = 1024
_LOOK_S: Final = 0.25
_CONNECT_S, _READ_S = 3.0, 5.0
_DEADLINE_S: Final = 10.0
_LONGEST_WAIT_S: Final = 60.0

Fetch = Callable[[str], bytes]


@dataclass(slots=True, kw_only=True)
class _Source:
    """What is known of one issuer's keys."""

    keys: KeySet | None = None
    data: bytes = b""
    read_at_s: float = -1.0
    next_at_s: float = 0.0
    asked_at_s: float = float("-inf")
    failures: int = 0
    problem: str = "they have not been read yet"
    wanted: set[str] = field(default_factory=set)
    unknown_until_s: dict[str, float] = field(default_factory=dict)


class KeySets:
    """The keys by issuer; while one cannot be asked, his last ones stay for as long as he is believed."""

    def __init__(
        self, issuers: Callable[[], Mapping[str, Issuer]], *, clock: Clock, fetch: Fetch | None = None
    ) -> None:
        """Args: `issuers` gives those in force now; `fetch` reads a URL, in a thread."""
        self.changes = Changes()
        self._issuers = issuers
        self._clock = clock
        self._fetch = fetch or fetch_keys
        self._sources: dict[tuple[str, str], _Source] = {}

    def find(self, issuer: Issuer, key_id: str, *, now_s: float) -> tuple[VerificationKey, float]:
        """A key of an issuer, and until when it is good without being read again.

        Raises:
            Unavailable: The issuer's keys are not known, or too old to be believed.
            Unauthenticated: There is no such key; it is looked for, in the background and within bounds.
        """
        source = self._source(issuer)
        good_until_s = source.read_at_s + issuer.stale_after_s
        if source.keys is None or now_s >= good_until_s:
            problem = f"the keys of {issuer.issuer} cannot be read: {source.problem}"
            raise Unavailable(f"{problem}; nobody of this issuer is let in", retry_after_s=1.0)
        key = source.keys.find(key_id)
        if key is None:
            self._want(source, key_id, now_s=now_s)
            raise Unauthenticated(f"{issuer.issuer} has no key {key_id[:60]!r}")
        return key, good_until_s

    def _source(self, issuer: Issuer) -> _Source:
        return self._sources.setdefault((issuer.issuer, issuer.jwks_url), _Source())

    def _want(self, source: _Source, key_id: str, *, now_s: float) -> None:
        if now_s >= source.unknown_until_s.get(key_id, float("-inf")) and len(source.wanted) < _MOST_UNKNOWN:
            source.wanted.add(key_id)

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is due until told to stop."""
        while not stop.is_set():
            await self.read_due()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def read_due(self) -> None:
        """Read the keys that are due: never read, old, or asked for."""
        issuers = [issuer for issuer in self._issuers().values() if issuer.jwks_url]
        known = {(issuer.issuer, issuer.jwks_url) for issuer in issuers}
        self._sources = {name: source for name, source in self._sources.items() if name in known}
        now_s = self._clock.now_s()
        due = [issuer for issuer in issuers if _is_due(self._source(issuer), now_s)]
        await asyncio.gather(*(self._read(issuer) for issuer in due))

    async def _read(self, issuer: Issuer) -> None:
        source = self._source(issuer)
        source.asked_at_s = self._clock.now_s()
        wanted, source.wanted = source.wanted, set()
        try:
            async with asyncio.timeout(_DEADLINE_S):
                data = await asyncio.to_thread(self._fetch, issuer.jwks_url)
            self._take(issuer, data, at_s=self._clock.now_s())
        except (TimeoutError, SlipwayError) as error:
            source.failures += 1
            source.problem = str(error) or "no answer in time"
            source.next_at_s = self._clock.now_s() + min(_LONGEST_WAIT_S, 2.0**source.failures)
            metrics.JWKS_READS.labels(issuer.issuer, "failed").inc()
            log.warning(
                "the keys of %s cannot be read, the last ones stay: %s", issuer.issuer, source.problem
            )
            return
        metrics.JWKS_READS.labels(issuer.issuer, "read").inc()
        self._note_unknown(source, wanted)

    def _take(self, issuer: Issuer, data: bytes, *, at_s: float) -> None:
        source = self._source(issuer)
        source.keys = read_keys(data, issuer.algorithms)
        source.data, source.read_at_s, source.failures, source.problem = data, at_s, 0, ""
        source.next_at_s = at_s + issuer.refresh_s
        metrics.JWKS_READ_AT.labels(issuer.issuer).set(at_s)
        self.changes.notify()

    def _note_unknown(self, source: _Source, wanted: set[str]) -> None:
        until_s = source.read_at_s + UNKNOWN_S
        missing = [
            key_id for key_id in wanted if source.keys is not None and source.keys.find(key_id) is None
        ]
        if len(source.unknown_until_s) + len(missing) > _MOST_UNKNOWN:
            source.unknown_until_s.clear()
        source.unknown_until_s.update(dict.fromkeys(missing, until_s))

    def dump(self) -> bytes | None:
        """The keys and when they were read, for a start while issuers cannot be asked."""
        kept = [
            {"issuer": name, "url": url, "read_at_s": source.read_at_s, "data": source.data.decode()}
            for (name, url), source in self._sources.items()
            if source.keys is not None
        ]
        return orjson.dumps(kept)

    def restore(self, state_dir: Path) -> None:
        """Take the keys of the snapshot, of those who are still issuers; they are as old as they are."""
        path = state_dir / SNAPSHOT
        entries: list[dict[str, Any]] = orjson.loads(path.read_bytes()) if path.is_file() else []
        for entry in entries:
            issuer = self._issuers().get(entry["issuer"])
            if issuer is None or issuer.jwks_url != entry["url"]:
                continue
            try:
                self._take(issuer, entry["data"].encode(), at_s=entry["read_at_s"])
            except InvalidInput as error:
                log.warning("kept keys of %s are of no use: %s", issuer.issuer, error)
            self._source(issuer).next_at_s = 0.0


def _is_due(source: _Source, now_s: float) -> bool:
    if now_s >= source.next_at_s:
        return True
    return bool(source.wanted) and now_s >= source.asked_at_s + READ_AGAIN_S


def fetch_keys(url: str) -> bytes:
    """Read a key set: no redirects, bounded in time and size.

    Raises:
        Unavailable: Not read.
    """
    with requests.Session() as session:
        # A proxy is for what lies outside of this machine.
        session.trust_env = not is_loopback(urlsplit(url).hostname or "")
        session.headers["accept-encoding"] = "identity"
        try:
            answer = session.get(url, timeout=(_CONNECT_S, _READ_S), allow_redirects=False, stream=True)
            if answer.status_code != 200:
                raise Unavailable(f"{url} answered {answer.status_code}; redirects are not followed")
            return _body(answer)
        except (requests.RequestException, HTTPError) as error:
            raise Unavailable(f"{url}: {type(error).__name__}") from error


def _body(answer: requests.Response) -> bytes:
    """The body as it comes: whoever trickles holds no thread beyond the deadline."""
    deadline_s = time.monotonic() + _READ_S
    data = b""
    while part := answer.raw.read1(MAX_BYTES):
        data += part
        if len(data) > MAX_BYTES or time.monotonic() > deadline_s:
            raise Unavailable(f"{answer.url}: over {MAX_BYTES} bytes, or not whole within {_READ_S:g} s")
    return data
