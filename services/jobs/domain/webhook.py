"""The signature of a callback.

Source: Standard Webhooks, 1.0.0, 2023, "Signature scheme", symmetric: HMAC-SHA256 over id, time and body.
"""

import base64
import hashlib
import hmac
from typing import Final

_SECRET_PREFIX: Final = "whsec_"


def secret_of(master: bytes, *, tenant: str, principal: str) -> bytes:
    """The secret of one principal: a receiver who knows his own cannot sign for another."""
    return hmac.digest(master, f"callback\0{tenant}\0{principal}".encode(), hashlib.sha256)


def text_of(secret: bytes) -> str:
    """A secret as its owner gets it."""
    return _SECRET_PREFIX + base64.b64encode(secret).decode()


def headers(secret: bytes, body: bytes, *, message_id: str, now_s: float) -> dict[str, str]:
    """The headers by which a receiver knows who sent a body, and when."""
    at = str(int(now_s))
    signed = f"{message_id}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}
