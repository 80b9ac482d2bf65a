"""The table of API keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.gateway.domain.api_keys import ApiKey
from slipway.errors import NotFound, Unavailable
from slipway.postgres import FAILURES, Connection, Pool

_DEADLINE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key as an operator sees it."""

    key_id: str
    principal: str
    tenant: str
    created_at: datetime
    revoked_at: datetime | None


class KeyStore:
    """Keys in PostgreSQL, which may be away: then every call says so."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def attach(self, pool: Pool | None) -> None:
        """Work on this pool from now on; None while there is none."""
        self._pool = pool

    async def add(self, key: ApiKey) -> KeyRow:
        """Store a new key."""
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "INSERT INTO api_keys (key_id, principal, tenant, mac) VALUES ($1, $2, $3, $4) "
                "RETURNING key_id, principal, tenant, created_at, revoked_at",
                *(key.key_id, key.principal, key.tenant, key.mac),
            )
        return KeyRow(**row)

    async def revoke(self, key_id: str) -> KeyRow:
        """Revoke a key; the time of the first revocation stays.

        Raises:
            NotFound: There is no such key.
        """
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1 "
                "RETURNING key_id, principal, tenant, created_at, revoked_at",
                key_id,
            )
        if row is None:
            raise NotFound(f"there is no API key {key_id[:60]!r}; `slipway keys list` shows all")
        return KeyRow(**row)

    async def list_all(self) -> list[KeyRow]:
        """Every key, oldest first."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT key_id, principal, tenant, created_at, revoked_at FROM api_keys "
                "ORDER BY created_at, key_id"
            )
        return [KeyRow(**row) for row in rows]

    async def mark(self) -> tuple[int, int]:
        """A value that differs after every change: how many keys there are, and how many are revoked."""
        async with self._connection() as connection:
            row = await connection.fetchrow("SELECT count(*), count(revoked_at) FROM api_keys")
        return row[0], row[1]

    async def keys_in_force(self) -> list[ApiKey]:
        """The keys that open something."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT key_id, principal, tenant, mac FROM api_keys WHERE revoked_at IS NULL"
            )
        return [ApiKey(**row) for row in rows]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise Unavailable("PostgreSQL is away, so API keys cannot be read or changed; try again later")
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise Unavailable(f"PostgreSQL did not answer for API keys: {error!r}") from error
