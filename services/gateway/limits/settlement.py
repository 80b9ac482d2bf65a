"""Usage in PostgreSQL, written behind: totals that only grow, so that to write one twice does no harm."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Final

from services.gateway import metrics
from services.gateway.domain.limit_windows import Window
from services.gateway.limits.rules import Bucket, Rule
from services.gateway.limits.usage import Totals, Usage
from slipway.errors import Unavailable
from slipway.limits_file import Unit
from slipway.pauses import pause
from slipway.postgres import FAILURES, Connection, Pool, pool

log = logging.getLogger(__name__)

MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_FLUSH_S: Final = 1.0
_DEADLINE_S: Final = 5.0
_MOST_ROWS: Final = 1000
# Thirteen months, so that a month can be held against that of a year ago.
_FORGET: Final = "DELETE FROM usage WHERE day < current_date - 400"
_COLUMNS: Final[dict[Unit, str]] = {
    "requests": "requests",
    "rows": "rows",
    "tokens": "tokens",
    "cost": "cost_millionths",
}
_UPSERT: Final = """
INSERT INTO usage
    (holder, day, counts, tenant, principal, model, requests, rows, tokens, cost_millionths, compute_s)
SELECT $1, * FROM unnest($2::date[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::float8[])
ON CONFLICT (day, counts, tenant, principal, model, holder) DO UPDATE SET
    requests = greatest(usage.requests, excluded.requests), rows = greatest(usage.rows, excluded.rows),
    tokens = greatest(usage.tokens, excluded.tokens),
    cost_millionths = greatest(usage.cost_millionths, excluded.cost_millionths),
    compute_s = greatest(usage.compute_s, excluded.compute_s)
"""
_WHERE: Final = """
FROM usage WHERE day >= $1 AND day < $2 AND counts = $3 AND ($4::text IS NULL OR tenant = $4)
    AND ($5::text IS NULL OR principal = $5) AND ($6::text IS NULL OR model = $6)
"""


class Settlement:
    """Writes what this process counts, and tells what all processes have counted."""

    def __init__(self, dsn: str, usage: Usage, *, holder: str) -> None:
        self._dsn = dsn
        self._usage = usage
        self._holder = holder
        self._pool: Pool | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Write once a second until told to stop, and once more then."""
        while not stop.is_set():
            try:
                async with pool(self._dsn, migrations=MIGRATIONS, max_size=2) as connections:
                    self._pool = connections
                    await connections.execute(_FORGET)
                    await self._write_until(stop)
            except FAILURES as error:
                log.warning("PostgreSQL refused the usage: %r", error)
            finally:
                self._pool = None
            await pause(stop, _FLUSH_S)

    async def spent(self, rule: Rule, bucket: Bucket, window: Window) -> dict[str, int]:
        """What each gateway has spent of one bucket of a budget in a window.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        column = _COLUMNS[rule.unit]
        sql = f"SELECT holder, sum({column})::bigint AS spent {_WHERE} GROUP BY holder"
        async with self._connection() as connection:
            rows = await connection.fetch(sql, window.first, window.after, rule.counts, *bucket)
        return {row["holder"]: row["spent"] for row in rows}

    async def buckets(self, rule: Rule, window: Window, *, most: int) -> list[tuple[Bucket, int]]:
        """Which buckets of a budget were spent from in a window, and how much: the largest first.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        names = [
            name if pattern is not None else "NULL::text"
            for name, pattern in zip(("tenant", "principal", "model"), rule.match, strict=True)
        ]
        exact = [None if pattern in (None, "*") else pattern for pattern in rule.match]
        sql = (
            f"SELECT {names[0]}, {names[1]}, {names[2]}, sum({_COLUMNS[rule.unit]})::bigint AS spent "
            f"{_WHERE} GROUP BY 1, 2, 3 ORDER BY spent DESC LIMIT {most:d}"
        )
        async with self._connection() as connection:
            rows = await connection.fetch(sql, window.first, window.after, rule.counts, *exact)
        return [((row[0], row[1], row[2]), row[3]) for row in rows]

    async def flush(self) -> None:
        """Write what has changed.

        Raises:
            Unavailable: PostgreSQL is away; nothing is lost.
        """
        while rows := self._usage.take_dirty(_MOST_ROWS):
            try:
                async with self._connection() as connection:
                    await connection.execute(_UPSERT, self._holder, *_columns(rows))
            except BaseException:
                self._usage.give_back(rows)
                raise
            metrics.LIMITS_SETTLED.inc(len(rows))
            if len(rows) < _MOST_ROWS:
                return

    async def _write_until(self, stop: asyncio.Event) -> None:
        is_last = False
        while not is_last:
            is_last = stop.is_set()
            try:
                await self.flush()
            except Unavailable as error:
                log.warning("usage waits in memory: %s", error)
            metrics.LIMITS_UNSETTLED.set(self._usage.unsettled)
            if not is_last:
                await pause(stop, _FLUSH_S)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise Unavailable("PostgreSQL is away, so usage cannot be read or written; try again later")
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise Unavailable(f"PostgreSQL did not answer for usage: {error!r}") from error


def _columns(
    rows: Sequence[Totals],
) -> tuple[
    list[date],
    list[str],
    list[str],
    list[str],
    list[str],
    list[int],
    list[int],
    list[int],
    list[int],
    list[float],
]:
    askers = [row.asker for row in rows]
    return (
        [row.day for row in rows],
        [asker.counts for asker in askers],
        [asker.tenant for asker in askers],
        [asker.principal for asker in askers],
        [asker.model for asker in askers],
        [row.requests for row in rows],
        [row.rows for row in rows],
        [row.tokens for row in rows],
        [row.cost for row in rows],
        [row.compute_s for row in rows],
    )
