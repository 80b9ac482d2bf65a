"""The table of API keys."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from slipway.errors import Conflict, NotFound, Unavailable
from slipway.identity.api_keys import ApiKey
from slipway.postgres import FAILURES, Connection, Pool

_DEADLINE_S: Final = 5.0
_ANNOUNCER: Final = "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.api_keys'))"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key as an operator sees it."""

    key_id: str
    principal: str
    tenant: str
    roles: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    created_by: str
    rotated_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to be stored; it lasts `ttl_s` from now, or for ever."""

    key_id: str
    principal: str
    tenant: str
    roles: tuple[str, ...]
    mac: bytes
    ttl_s: float | None
    created_by: str
    rotated_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """What others must know of a key."""

    key: ApiKey
    revoked_at: datetime | None
    revision: int


class KeyStore:
    """Keys in PostgreSQL, which may be away: then every call says so."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def attach(self, pool: Pool | None) -> None:
        """Work on this pool from now on; None while there is none."""
        self._pool = pool

    async def add(self, key: NewKey) -> KeyRow:
        """Store a new key."""
        async with self._connection() as connection:
            return await _insert(connection, key)

    async def rotate(self, key: NewKey, *, overlap_s: float) -> KeyRow:
        """Store a key in place of `rotated_from`, which ends after the overlap, or earlier as it would have.

        Raises:
            Conflict: The old key opens nothing any more.
        """
        async with self._connection() as connection, connection.transaction():
            ended = await connection.fetchval(
                "UPDATE api_keys SET revision = nextval('api_key_revisions'), "
                "expires_at = least(expires_at, now() + make_interval(secs => $2)) "
                "WHERE key_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) "
                "RETURNING key_id",
                *(key.rotated_from, overlap_s),
            )
            if ended is None:
                raise Conflict(f"API key {key.rotated_from} is revoked or has expired; create another")
            return await _insert(connection, key)

    async def find(self, key_id: str) -> KeyRow:
        """One key.

        Raises:
            NotFound: There is no such key.
        """
        async with self._connection() as connection:
            row = await connection.fetchrow("SELECT * FROM api_keys WHERE key_id = $1", key_id)
        if row is None:
            raise _unknown(key_id)
        return _row_of(row)

    async def revoke(self, key_id: str) -> KeyRow:
        """Revoke a key; the time of the first revocation stays.

        Raises:
            NotFound: There is no such key.
        """
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "UPDATE api_keys SET revision = nextval('api_key_revisions'), "
                "revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1 "
                "RETURNING *",
                key_id,
            )
        if row is None:
            raise _unknown(key_id)
        return _row_of(row)

    async def list_all(self) -> list[KeyRow]:
        """Every key, oldest first."""
        async with self._connection() as connection:
            rows = await connection.fetch("SELECT * FROM api_keys ORDER BY created_at, key_id")
        return [_row_of(row) for row in rows]

    async def mark(self) -> int:
        """A value that differs after every change."""
        async with self._connection() as connection:
            return int(await connection.fetchval("SELECT coalesce(sum(revision), 0) FROM api_keys"))

    async def keys_in_force(self) -> list[ApiKey]:
        """The keys that open something now; they say themselves until when."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM api_keys "
                "WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
            )
        return [_key_of(row) for row in rows]

    @asynccontextmanager
    async def announcing(self, *, most: int) -> AsyncIterator[list[KeyState]]:
        """The keys that others have not been told of; told, once the block ends well.

        Only one process tells at a time, so that nobody is told an older state after a newer one.
        """
        async with self._connection() as connection, connection.transaction():
            states: list[KeyState] = []
            if await connection.fetchval(_ANNOUNCER):
                rows = await connection.fetch(
                    "SELECT * FROM api_keys WHERE announced < revision ORDER BY revision LIMIT $1", most
                )
                states = [_state_of(row) for row in rows]
            yield states
            if states:
                await connection.execute(
                    "UPDATE api_keys k SET announced = t.revision "
                    "FROM unnest($1::text[], $2::bigint[]) AS t(key_id, revision) WHERE k.key_id = t.key_id",
                    *_columns(states),
                )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise Unavailable("PostgreSQL is away, so API keys cannot be read or changed; try again later")
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise Unavailable(f"PostgreSQL did not answer for API keys: {error!r}") from error


async def _insert(connection: Connection, key: NewKey) -> KeyRow:
    row = await connection.fetchrow(
        "INSERT INTO api_keys (key_id, principal, tenant, roles, mac, expires_at, created_by, rotated_from) "
        "VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7, $8) "
        "RETURNING *",
        *(key.key_id, key.principal, key.tenant, list(key.roles), key.mac),
        *(key.ttl_s, key.created_by, key.rotated_from),
    )
    return _row_of(row)


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"there is no API key {key_id[:60]!r}; `slipway keys list` shows all")


def _row_of(row: Any) -> KeyRow:
    values = {field.name: row[field.name] for field in fields(KeyRow)}
    return KeyRow(**{**values, "roles": tuple(row["roles"])})


def _key_of(row: Any) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        principal=row["principal"],
        tenant=row["tenant"],
        mac=row["mac"],
        roles=tuple(row["roles"]),
        expires_at_s=None if row["expires_at"] is None else row["expires_at"].timestamp(),
    )


def _state_of(row: Any) -> KeyState:
    return KeyState(key=_key_of(row), revoked_at=row["revoked_at"], revision=row["revision"])


def _columns(states: Sequence[KeyState]) -> tuple[list[str], list[int]]:
    return [state.key.key_id for state in states], [state.revision for state in states]
