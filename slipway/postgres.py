"""PostgreSQL: a pool with deadlines, and forward-only migrations that a service owns."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from slipway.errors import Conflict

log = logging.getLogger(__name__)

Pool = Any  # asyncpg.Pool, which is untyped
Connection = Any  # asyncpg.Connection

# What asyncpg raises while the server is away, restarts, is full, or has closed the connection.
AWAY: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut between two steps of one statement
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)

# Whatever a loop survives that only looks after itself: away, or a statement that failed.
FAILURES: Final = (*AWAY, asyncpg.PostgresError)

_COMMAND_DEADLINE_S: Final = 30.0
_RETRY_S: Final = 1.0
_MIGRATION_LOCK: Final = 7_316_411  # any constant: one migration at a time per database


@asynccontextmanager
async def pool(dsn: str, *, migrations: Path, max_size: int = 4) -> AsyncIterator[Pool]:
    """A pool on a migrated schema; waits for a database that is not up yet.

    Args:
        dsn: Connection string of the service's role; its search path is the service's schema.
        migrations: Folder of `NNNN_name.sql` files, applied in order, once each.
        max_size: Connections at the most.
    """
    it = await _connect(dsn, max_size)
    try:
        await migrate(it, migrations)
        yield it
    finally:
        try:
            await asyncio.wait_for(it.close(), timeout=5)
        except TimeoutError:
            it.terminate()


async def _connect(dsn: str, max_size: int) -> Pool:
    while True:
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=max_size,
                command_timeout=_COMMAND_DEADLINE_S,
                timeout=5,
                init=_set_codecs,
            )
        except AWAY as error:
            log.warning("PostgreSQL is not reachable, trying again in %.1f s: %r", _RETRY_S, error)
        await asyncio.sleep(_RETRY_S)


async def _set_codecs(connection: Connection) -> None:
    """Let jsonb columns take and give plain Python values."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda v: orjson.dumps(v).decode(), decoder=orjson.loads
    )


async def migrate(pool: Pool, folder: Path) -> list[str]:
    """Apply the files of `folder` that this schema has not seen; returns their names.

    Raises:
        Conflict: A file that was applied has been changed since.
    """
    applied: list[str] = []
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations "
            "(name text PRIMARY KEY, sql text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        seen = {
            row["name"]: row["sql"]
            for row in await connection.fetch("SELECT name, sql FROM schema_migrations")
        }
        for name, sql in _read(folder):
            if name not in seen:
                await connection.execute(sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (name, sql) VALUES ($1, $2)", name, sql
                )
                applied.append(name)
            elif seen[name] != sql:
                raise Conflict(f"migration {name} was changed after it was applied; add a new file instead")
    return applied


def _read(folder: Path) -> list[tuple[str, str]]:
    return [(path.name, path.read_text()) for path in sorted(folder.glob("*.sql"))]
