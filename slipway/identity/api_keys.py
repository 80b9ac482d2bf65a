"""API keys: what their text looks like, and how a given one is recognised."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slipway.errors import InvalidInput, Unauthenticated
from slipway.identity.caller import APP, Caller

PREFIX: Final = "slk"
PEPPER_FILE: Final = "api_keys.pepper"
_SHORTEST_PEPPER: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}")
_ROLE: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MOST_ROLES: Final = 32
SERVICES: Final = frozenset(
    {
        "gateway",
        "inference",
        "feedback",
        "drift_detection",
        "retrain_trigger",
        "retraining",
        "rollout",
        "jobs",
        "query_watch",
    }
)
# They stand in logs and records for the stack's own token and for the services themselves.
_RESERVED: Final = SERVICES | {"operator"}
_HOW: Final = "send `authorization: Bearer slk_...`; `slipway keys create` makes a key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Who a key stands for, until when, and what proves it; the secret itself is kept nowhere."""

    key_id: str
    principal: str
    tenant: str
    mac: bytes
    roles: tuple[str, ...] = (APP,)
    expires_at_s: float | None = None


def text_of(key_id: str, secret: str) -> str:
    """The whole key as its owner gets it."""
    return f"{PREFIX}_{key_id}_{secret}"


def mac_of(pepper: bytes, text: str) -> bytes:
    """What is stored in place of a key: HMAC-SHA256 over its whole text."""
    return hmac.digest(pepper, text.encode(), hashlib.sha256)


def check_pepper(text: str) -> bytes:
    """The secret that the HMACs are made with.

    Raises:
        InvalidInput: Too short to be one.
    """
    if len(text) < _SHORTEST_PEPPER:
        raise InvalidInput(f"{PEPPER_FILE} has {len(text)} characters; {_SHORTEST_PEPPER} at least")
    return text.encode()


def identify(text: str, keys: Mapping[str, ApiKey], *, pepper: bytes, now_s: float) -> ApiKey:
    """Find the key that `text` is.

    Raises:
        Unauthenticated: No key, not the form of one, unknown, revoked or expired.
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
    if known.expires_at_s is not None and now_s >= known.expires_at_s:
        raise Unauthenticated(
            f"the API key {key_id} has expired; `slipway keys rotate` or `create` makes another"
        )
    return known


def caller_of(key: ApiKey) -> Caller:
    """Whom a key stands for."""
    return Caller(
        principal=key.principal,
        tenant=key.tenant,
        roles=key.roles,
        method="api_key",
        credential_id=key.key_id,
    )


def check_name(kind: str, name: str) -> str:
    """A principal's or tenant's name, as it stands in records and tokens.

    Raises:
        InvalidInput: Empty, too long, or with characters that a record should not carry.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{kind} {name[:60]!r} must be 1 to 128 of letters, digits and . _ @ : / -")
    return name


def check_principal(name: str) -> str:
    """The name of a caller, which may not be that of a part of the system.

    Raises:
        InvalidInput: No name, or one that logs and records use already.
    """
    if name in _RESERVED:
        raise InvalidInput(f"principal {name!r}: logs and records use this name already; take another")
    return check_name("principal", name)


def check_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Roles in order, each once.

    Raises:
        InvalidInput: None, too many, or one that a policy could not name.
    """
    wrong = [role for role in roles if not _ROLE.fullmatch(role)]
    if wrong:
        raise InvalidInput(f"role {wrong[0][:70]!r}: a letter, then up to 62 of a-z 0-9 _ -")
    if not 1 <= len(set(roles)) <= _MOST_ROLES:
        raise InvalidInput(
            f"{len(set(roles))} roles; 1 to {_MOST_ROLES} are needed, e.g. app, operator, owner"
        )
    return tuple(sorted(set(roles)))
