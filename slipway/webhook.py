"""What every body that is posted to a receiver has: a signature, a secret behind it, and a pace of tries.

Source of the signature: Standard Webhooks, 1.0.0, 2023, "Signature scheme", symmetric: HMAC-SHA256 over
id, time and body.
"""

import base64
import hashlib
import hmac
from typing import Final

_SECRET_PREFIX: Final = "whsec_"
_FIRST_DELAY_S: Final = 1.0
_LONGEST_DELAY_S: Final = 300.0
MOST_TRIES: Final = 12


def secret_of(master: bytes, *, tenant: str, principal: str) -> bytes:
    """The secret of one principal: a receiver who knows his own cannot sign for another."""
    return hmac.digest(master, f"callback\0{tenant}\0{principal}".encode(), hashlib.sha256)


def notice_secret_of(master: bytes, *, tenant: str, model: str) -> bytes:
    """The secret of a model's rollout notices; no principal's is the same."""
    return hmac.digest(master, f"notice\0{tenant}\0{model}".encode(), hashlib.sha256)


def text_of(secret: bytes) -> str:
    """A secret as its owner gets it."""
    return _SECRET_PREFIX + base64.b64encode(secret).decode()


def headers(secret: bytes, body: bytes, *, message_id: str, now_s: float) -> dict[str, str]:
    """The headers by which a receiver knows who sent a body, and when."""
    at = str(int(now_s))
    signed = f"{message_id}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}


def next_try_s(tries: int, *, now_s: float, deadline_s: float) -> float | None:
    """When to try again after so many tries; None: no more."""
    due_s = now_s + min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (tries - 1))
    return None if tries >= MOST_TRIES or due_s >= deadline_s else due_s
