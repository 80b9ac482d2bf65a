"""API keys: what their text looks like, and how a given one is recognised."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from slipway.errors import InvalidInput, Unauthenticated
from slipway.identity.caller import APP, Caller

PREFIX: Final = "slk"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}")
_HOW: Final = "send `authorization: Bearer slk_...`; `slipway keys create` makes a key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Who a key stands for, and what proves it; the secret itself is kept nowhere."""

    key_id: str
    principal: str
    tenant: str
    mac: bytes


def text_of(key_id: str, secret: str) -> str:
    """The whole key as its owner gets it."""
    return f"{PREFIX}_{key_id}_{secret}"


def mac_of(pepper: bytes, text: str) -> bytes:
    """What is stored in place of a key: HMAC-SHA256 over its whole text."""
    return hmac.digest(pepper, text.encode(), hashlib.sha256)


def identify(text: str, keys: Mapping[str, ApiKey], *, pepper: bytes) -> ApiKey:
    """Find the key that `text` is.

    Raises:
        Unauthenticated: No key, not the form of one, unknown or revoked.
    """
    if not text:
        raise Unauthenticated(f"no API key: {_HOW}")
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not key_id or not secret:
        raise Unauthenticated(f"the API key is not of the form {PREFIX}_<id>_<secret>: {_HOW}")
    known = keys.get(key_id)
    if known is None or not hmac.compare_digest(known.mac, mac_of(pepper, text)):
        raise Unauthenticated(f"the API key is unknown or revoked: {_HOW}")
    return known


def caller_of(key: ApiKey) -> Caller:
    """Whom a key stands for."""
    return Caller(
        principal=key.principal, tenant=key.tenant, roles=(APP,), method="api_key", credential_id=key.key_id
    )


def check_name(kind: str, name: str) -> str:
    """A principal's or tenant's name, as it stands in records and tokens.

    Raises:
        InvalidInput: Empty, too long, or with characters that a record should not carry.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{kind} {name[:60]!r} must be 1 to 128 of letters, digits and . _ @ : / -")
    return name
