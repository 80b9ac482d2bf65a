"""API keys: made, listed, revoked."""

import asyncio
import secrets
from typing import Final

from services.gateway.domain.api_keys import ApiKey, check_name, mac_of, text_of
from services.gateway.key_sync import KeySync
from services.gateway.store import KeyRow, KeyStore
from slipway.identity.caller import DEFAULT_TENANT

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32


class Keys:
    """What operators do with keys."""

    def __init__(self, store: KeyStore, sync: KeySync, *, pepper: bytes, known_after_s: float = 0.0) -> None:
        """Args beyond the obvious: `known_after_s`, until gateways beside this one know a new key, too."""
        self._store = store
        self._sync = sync
        self._pepper = pepper
        self._known_after_s = known_after_s

    async def create(self, principal: str, tenant: str) -> tuple[KeyRow, str]:
        """Make a key; its text is given here and nowhere else.

        Raises:
            InvalidInput: A name that records could not carry.
            Unavailable: PostgreSQL is away.
        """
        check_name("principal", principal)
        tenant = check_name("tenant", tenant or DEFAULT_TENANT)
        key_id = secrets.token_hex(_ID_BYTES)
        text = text_of(key_id, secrets.token_urlsafe(_SECRET_BYTES))
        key = ApiKey(key_id=key_id, principal=principal, tenant=tenant, mac=mac_of(self._pepper, text))
        row = await self._store.add(key)
        await self._sync.refresh()
        await asyncio.sleep(self._known_after_s)  # its first use may come to any of them
        return row, text

    async def list_all(self) -> list[KeyRow]:
        """All keys, revoked ones too."""
        return await self._store.list_all()

    async def revoke(self, key_id: str) -> KeyRow:
        """Take a key out of force, here at once and in other gateways within two seconds."""
        row = await self._store.revoke(key_id)
        await self._sync.refresh()
        return row
