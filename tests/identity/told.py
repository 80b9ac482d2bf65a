"""Keys as the gateway tells of them, for services that run by themselves."""

import secrets
from pathlib import Path
from typing import Any

from slipway.envelope import Outgoing, encode
from slipway.identity.api_keys import PEPPER_FILE, mac_of, text_of
from slipway.v1.identities_pb2 import IdentityChanged


class ToldKeys:
    """Makes keys for a service with these secrets."""

    def __init__(self, secrets_dir: Path) -> None:
        self._pepper = (secrets_dir / PEPPER_FILE).read_text().encode()

    def make(self, principal: str, *roles: str) -> tuple[str, IdentityChanged]:
        """A key's text, and what is told of it."""
        key_id = secrets.token_hex(6)
        text = text_of(key_id, secrets.token_urlsafe(32))
        told = IdentityChanged(
            key_id=key_id,
            principal=principal,
            tenant="default",
            roles=roles,
            mac=mac_of(self._pepper, text),
            revision=1,
        )
        return text, told


def revoked(told: IdentityChanged) -> IdentityChanged:
    again = IdentityChanged(revision=told.revision + 1)
    again.MergeFrom(IdentityChanged(key_id=told.key_id, principal=told.principal, mac=told.mac))
    again.revoked_at.GetCurrentTime()
    return again


def message_of(told: IdentityChanged) -> Outgoing:
    event_id: Any = f"{told.key_id}/{told.revision}"
    return encode("identities", told, key=told.key_id, event_id=event_id, source="test")
