"""Job ids: UUIDv7 that prove whom they were given to, so that every gateway knows them without a table.

Source: RFC 9562, Universally Unique IDentifiers, 2024, section 5.7. Of the 74 bits that are free there, 42
tell jobs of one millisecond apart and 32 are a MAC over the rest and the owner. It keeps nobody out who has
no API key; it tells "on its way" from "never was".
"""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from slipway.errors import InvalidInput

NONCE_BITS: Final = 42
_LOW_NONCE_BITS: Final = 30
_MAC_BITS: Final = 32
_MAC_BYTES: Final = _MAC_BITS // 8
_VERSION: Final = 7
_PERSON: Final = b"slipway job id"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOwner:
    """Whom a job belongs to."""

    tenant: str
    principal: str


def job_id(secret: bytes, owner: JobOwner, *, at_ms: int, nonce: int) -> str:
    """The id of a job that was submitted at a time."""
    high, low = nonce >> _LOW_NONCE_BITS, nonce & ((1 << _LOW_NONCE_BITS) - 1)
    value = at_ms << 80 | _VERSION << 76 | high << 64 | 0b10 << 62 | low << _MAC_BITS
    return str(UUID(int=value | _mac(secret, owner, value)))


def issued_at_s(secret: bytes, owner: JobOwner, text: str) -> float | None:
    """When a job was submitted by this owner; None where the id was never given to him."""
    try:
        value = UUID(text).int
    except ValueError:
        return None
    bare = value >> _MAC_BITS << _MAC_BITS
    if str(UUID(int=value)) != text or bare | _mac(secret, owner, bare) != value:
        return None
    return time_of(text) / 1000


def nonce_of(submission_id: str) -> int:
    """The nonce that a client's own id leads to: the same one always."""
    digest = hashlib.blake2b(submission_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & ((1 << NONCE_BITS) - 1)


def time_of(text: str) -> int:
    """The milliseconds since 1970 in a UUIDv7.

    Raises:
        InvalidInput: It is none.
    """
    try:
        it = UUID(text)
    except ValueError as error:
        raise InvalidInput(f"{text[:60]!r} is not a UUID") from error
    if it.version != _VERSION:
        raise InvalidInput(f"{text[:60]!r} is a UUID of version {it.version}, not of version 7")
    return it.int >> 80


def _mac(secret: bytes, owner: JobOwner, value: int) -> int:
    message = value.to_bytes(16, "big") + f"{owner.tenant}\0{owner.principal}".encode()
    key = hashlib.blake2b(secret, person=_PERSON).digest()
    return int.from_bytes(hashlib.blake2b(message, key=key, digest_size=_MAC_BYTES).digest(), "big")
