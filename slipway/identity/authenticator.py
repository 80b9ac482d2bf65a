"""Who calls: one answer for gRPC, REST, feedback, jobs and the operators' ports."""

import hashlib
import hmac
import math
from typing import Final, NamedTuple

from slipway.clock import Clock
from slipway.errors import SlipwayError, Unauthenticated
from slipway.identity import api_keys, metrics
from slipway.identity.access_file import Access
from slipway.identity.caller import STACK_OPERATOR, Caller
from slipway.identity.certificates import caller_of, check_times, read_certificate, service_of
from slipway.identity.credentials import Credentials
from slipway.identity.json_web_tokens import Verified, open_token, verify
from slipway.identity.key_book import KeyBook
from slipway.identity.key_sets import KeySets
from slipway.watched_files import WatchedFiles

TRUSTED_S: Final = 60.0
"""For so long a token that was verified is not verified again."""
_MOST_KNOWN: Final = 4096
_LONGEST: Final = 16 * 1024
_HOW: Final = "send `authorization: Bearer slk_...`, a token of an issuer, or a client certificate"


class _Known(NamedTuple):
    caller: Caller
    until_s: float


class Authenticator:
    """Recognises callers; what was recognised is remembered under its digest until anything changes."""

    def __init__(
        self,
        keys: KeyBook,
        access: WatchedFiles[Access],
        *,
        key_sets: KeySets,
        clock: Clock,
        operator_token: str = "",
    ) -> None:
        """Args: `operator_token` opens as the administrator; empty, as on every public port, none does."""
        self._keys = keys
        self._access = access
        self._key_sets = key_sets
        self._clock = clock
        self._operator_token = operator_token.encode()
        self._known: dict[bytes, _Known] = {}
        self._seen = self._stamp()

    def identify(self, credentials: Credentials) -> Caller:
        """Whom credentials belong to.

        Raises:
            Unauthenticated: Nobody, or nobody any more.
            Unavailable: It cannot be told now: the keys of the token's issuer cannot be read.
        """
        shown = f"{credentials.authorization}\0{credentials.api_key}".encode()
        if len(shown) == 1:
            shown = credentials.certificate
        now_s = self._clock.now_s()
        stamp = self._stamp()
        if stamp != self._seen:
            self._known, self._seen = {}, stamp
        # Of the whole credential: what only begins alike is not alike.
        digest = hashlib.sha256(shown).digest()
        known = self._known.get(digest)
        if known is not None and now_s < known.until_s:
            return known.caller
        found = self._recognise(credentials, now_s=now_s)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest] = found
        return found.caller

    def _stamp(self) -> tuple[int, int, str]:
        return self._keys.changes.revision, self._key_sets.changes.revision, self._access.digest

    def _recognise(self, credentials: Credentials, *, now_s: float) -> _Known:
        kind = "none"
        try:
            text = _text_of(credentials)
            if not text and credentials.certificate:
                kind = "certificate"
                return self._by_certificate(credentials.certificate, now_s=now_s)
            if self._operator_token and hmac.compare_digest(text.encode(), self._operator_token):
                return _Known(STACK_OPERATOR, math.inf)
            if text.count(".") == 2 and not text.startswith(api_keys.PREFIX):
                kind = "jwt"
                return self._by_token(text, now_s=now_s)
            kind = "api_key" if text else kind
            return self._by_key(text, now_s=now_s)
        except SlipwayError:
            metrics.REFUSED.labels(kind).inc()
            raise

    def _by_key(self, text: str, *, now_s: float) -> _Known:
        key = self._keys.find(text, now_s=now_s)
        return _Known(api_keys.caller_of(key), math.inf if key.expires_at_s is None else key.expires_at_s)

    def _by_token(self, text: str, *, now_s: float) -> _Known:
        it = open_token(text)
        access = self._access.current
        issuer = access.issuers.get(it.issuer)
        if issuer is None:
            raise Unauthenticated("the token is of an issuer that issuers.yaml does not name")
        good_until_s = math.inf
        if issuer.jwks_file:
            key = access.file_keys[issuer.issuer].find(it.key_id)
            if key is None:
                raise Unauthenticated(f"{issuer.issuer} has no key {it.key_id[:60]!r}")
        else:
            key, good_until_s = self._key_sets.find(issuer, it.key_id, now_s=now_s)
        verified: Verified = verify(it, issuer, key, now_s=now_s)
        return _Known(verified.caller, min(verified.expires_at_s, good_until_s, now_s + TRUSTED_S))

    def _by_certificate(self, data: bytes, *, now_s: float) -> _Known:
        certificate = read_certificate(data)
        check_times(certificate, now_s=now_s)
        # Only between themselves: on a public port nobody is a part of the system.
        service = service_of(certificate) if self._operator_token else None
        caller = service or caller_of(certificate, self._access.current.certificates)
        return _Known(caller, certificate.not_after_s)


def _text_of(credentials: Credentials) -> str:
    """The key or the token; an API key may also stand in a header of its own."""
    if credentials.authorization and credentials.api_key:
        raise Unauthenticated(f"send one of `authorization` and `x-api-key`, not both; {_HOW}")
    if len(credentials.authorization) + len(credentials.api_key) > _LONGEST:
        raise Unauthenticated(f"the credential has over {_LONGEST} characters")
    if credentials.api_key:
        return credentials.api_key.strip()
    scheme, _, text = credentials.authorization.strip().partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise Unauthenticated(f"`authorization` is not of the form `Bearer ...`: {_HOW}")
    return text.strip()
