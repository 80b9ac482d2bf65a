"""API keys: made, listed, rotated, revoked."""

import asyncio
import math
import secrets
from collections.abc import Sequence
from typing import Final

from services.gateway.key_sync import KeySync
from services.gateway.store import KeyRow, KeyStore, NewKey
from slipway.errors import InvalidInput
from slipway.identity.api_keys import check_name, check_principal, check_roles, mac_of, text_of
from slipway.identity.caller import APP, DEFAULT_TENANT

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_LONGEST_S: Final = 10 * 366 * 24 * 3600.0


class Keys:
    """What operators do with keys."""

    def __init__(self, store: KeyStore, sync: KeySync, *, pepper: bytes, known_after_s: float = 0.0) -> None:
        """Args beyond the obvious: `known_after_s`, until gateways beside this one know a new key, too."""
        self._store = store
        self._sync = sync
        self._pepper = pepper
        self._known_after_s = known_after_s

    async def create(
        self, principal: str, tenant: str, *, roles: Sequence[str], ttl_s: float, actor: str
    ) -> tuple[KeyRow, str]:
        """Make a key; its text is given here and nowhere else.

        Args:
            principal: Whom it stands for.
            tenant: Empty for the default one.
            roles: Empty for those of an application.
            ttl_s: How long it lasts; 0 for ever.
            actor: Who makes it.
        Raises:
            InvalidInput: A name or a role that records could not carry, or a time that is none.
            Unavailable: PostgreSQL is away.
        """
        key, text = self._made(
            principal=check_principal(principal),
            tenant=check_name("tenant", tenant or DEFAULT_TENANT),
            roles=check_roles(list(roles) or [APP]),
            ttl_s=_time(ttl_s, "ttl_s") or None,
            actor=actor,
        )
        return await self._known_to_all(await self._store.add(key)), text

    async def rotate(self, key_id: str, *, overlap_s: float, ttl_s: float, actor: str) -> tuple[KeyRow, str]:
        """Make a key for the same caller; the old one ends with the overlap.

        Args:
            key_id: The old key.
            overlap_s: How long both are in force.
            ttl_s: How long the new one lasts; 0: as long as the old one was made for.
            actor: Who does it.
        Raises:
            NotFound: No such key.
            Conflict: It opens nothing any more.
        """
        old = await self._store.find(key_id)
        lasts_s = None if old.expires_at is None else (old.expires_at - old.created_at).total_seconds()
        key, text = self._made(
            principal=old.principal,
            tenant=old.tenant,
            roles=old.roles,
            ttl_s=_time(ttl_s, "ttl_s") or lasts_s,
            actor=actor,
            rotated_from=key_id,
        )
        row = await self._store.rotate(key, overlap_s=_time(overlap_s, "overlap_s"))
        return await self._known_to_all(row), text

    async def list_all(self) -> list[KeyRow]:
        """All keys, revoked ones too."""
        return await self._store.list_all()

    async def revoke(self, key_id: str) -> KeyRow:
        """Take a key out of force, here at once and everywhere else within two seconds."""
        row = await self._store.revoke(key_id)
        await self._sync.refresh()
        return row

    def _made(
        self,
        *,
        principal: str,
        tenant: str,
        roles: tuple[str, ...],
        ttl_s: float | None,
        actor: str,
        rotated_from: str = "",
    ) -> tuple[NewKey, str]:
        key_id = secrets.token_hex(_ID_BYTES)
        text = text_of(key_id, secrets.token_urlsafe(_SECRET_BYTES))
        key = NewKey(
            key_id=key_id,
            principal=principal,
            tenant=tenant,
            roles=roles,
            mac=mac_of(self._pepper, text),
            ttl_s=ttl_s,
            created_by=actor,
            rotated_from=rotated_from,
        )
        return key, text

    async def _known_to_all(self, row: KeyRow) -> KeyRow:
        await self._sync.refresh()
        await asyncio.sleep(self._known_after_s)  # its first use may come to any of them
        return row


def _time(seconds: float, name: str) -> float:
    if not (math.isfinite(seconds) and 0 <= seconds <= _LONGEST_S):
        raise InvalidInput(f"{name} {seconds:g} must be 0 to {_LONGEST_S:.0f} seconds")
    return seconds
