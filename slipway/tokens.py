"""The feedback token: proof that a prediction was served to the one who now labels it.

Its text is `v1.<who>.<mac>`: who = base64url("tenant" NUL "principal"), mac = keyed BLAKE2b
(RFC 7693, section 2.9) over the subject and who. The subject is a prediction id, or `key:` and the
client's business key.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache

from slipway.errors import Unauthenticated

SECRET_FILE = "feedback_token.key"
_MAC_BYTES = 20


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a token speaks for."""

    tenant: str
    principal: str


def subject_of_key(business_key: str) -> str:
    """The token's subject for feedback by business key."""
    return f"key:{business_key}"


def issue(secret: bytes, *, subject: str, owner: Owner) -> str:
    """Make the token of one subject for its owner."""
    who = _who(owner)
    return f"v1.{who.decode()}.{_mac(secret, subject, who)}"


@lru_cache(maxsize=4096)
def _who(owner: Owner) -> bytes:
    return base64.urlsafe_b64encode(f"{owner.tenant}\0{owner.principal}".encode()).rstrip(b"=")


def read_owner(token: str) -> Owner:
    """Whom a token claims to speak for, not yet verified.

    Raises:
        Unauthenticated: Not a token.
    """
    version, _, rest = token.partition(".")
    who, _, mac = rest.partition(".")
    if version != "v1" or not who or not mac:
        raise Unauthenticated("feedback_token is not of the form v1.<who>.<mac>")
    try:
        tenant, _, principal = base64.urlsafe_b64decode(who + "=" * (-len(who) % 4)).decode().partition("\0")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise Unauthenticated("feedback_token cannot be decoded") from error
    return Owner(tenant, principal)


def verify(secret: bytes, token: str, *, subject: str) -> Owner:
    """Check a token against its subject.

    Raises:
        Unauthenticated: Not a token, or not one for this subject.
    """
    owner = read_owner(token)
    if not hmac.compare_digest(issue(secret, subject=subject, owner=owner).encode(), token.encode()):
        raise Unauthenticated("feedback_token does not belong to this prediction")
    return owner


def _mac(secret: bytes, subject: str, who: bytes) -> str:
    subject_bytes = subject.encode()
    text = len(subject_bytes).to_bytes(4, "big") + subject_bytes + who
    return hashlib.blake2b(text, key=_key(secret), digest_size=_MAC_BYTES).hexdigest()


@lru_cache(maxsize=16)
def _key(secret: bytes) -> bytes:
    return hashlib.blake2b(secret).digest()
