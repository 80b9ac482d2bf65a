"""All SQL of the query watch."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.query_watch.messages import Key
from slipway import outbox, positions
from slipway.envelope import Outgoing
from slipway.positions import Place
from slipway.postgres import Connection, Pool
from slipway.v1.extraction_pb2 import ExtractionSuspected

Counts = dict[str, list[int]]
"""By kind: new questions that were asked, and how many of them were of that kind."""

_MOST_OTHERS: Final = 200
_MOST_LISTED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One caller of one model as it is stored."""

    state: bytes
    counts: Counts
    first_s: float
    last_s: float


class WatchStore:
    """Opens transactions, and reads for operators."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["WatchTransaction"]:
        """One batch of records, or one command; rolled back as a whole when it fails."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield WatchTransaction(connection)

    async def suspects(self, model: str) -> list[ExtractionSuspected]:
        """Who is suspected now, of all models where none is named."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT alarm FROM suspects WHERE $1 = '' OR model = $1 ORDER BY model, principal LIMIT $2",
                model,
                _MOST_LISTED,
            )
        return [ExtractionSuspected.FromString(row["alarm"]) for row in rows]


class WatchTransaction:
    """The reads and writes of one batch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def positions(self, places: Sequence[Place]) -> dict[Place, int]:
        """Next offset to count of each partition, locked; 0 where nothing was counted."""
        return await positions.lock(self._connection, places)

    async def save_positions(self, counted: Mapping[Place, int]) -> None:
        """Move on; the offsets of a partition only grow."""
        await positions.save(self._connection, counted)

    async def load(self, keys: Sequence[Key]) -> dict[Key, Row]:
        """The callers that are known, locked in the order of their names."""
        rows = await self._connection.fetch(
            "SELECT * FROM callers WHERE (tenant, principal, model) IN "
            "(SELECT * FROM unnest($1::text[], $2::text[], $3::text[])) "
            "ORDER BY tenant, principal, model FOR UPDATE",
            *_columns(keys),
        )
        return {
            (row["tenant"], row["principal"], row["model"]): Row(
                state=row["state"],
                counts=row["counts"],
                first_s=row["first_at"].timestamp(),
                last_s=row["last_at"].timestamp(),
            )
            for row in rows
        }

    async def others(self, model: str) -> dict[Key, Counts]:
        """What the callers of a model did of late who are not suspected."""
        rows = await self._connection.fetch(
            "SELECT tenant, principal, model, counts FROM callers AS c WHERE model = $1 AND NOT EXISTS "
            "(SELECT FROM suspects AS s "
            "WHERE (s.tenant, s.principal, s.model) = (c.tenant, c.principal, c.model)) "
            "ORDER BY last_at DESC LIMIT $2",
            model,
            _MOST_OTHERS,
        )
        return {(row["tenant"], row["principal"], row["model"]): row["counts"] for row in rows}

    async def suspected(self, keys: Sequence[Key]) -> frozenset[Key]:
        """Which of these are suspected already."""
        rows = await self._connection.fetch(
            "SELECT tenant, principal, model FROM suspects WHERE (tenant, principal, model) IN "
            "(SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))",
            *_columns(keys),
        )
        return frozenset((row["tenant"], row["principal"], row["model"]) for row in rows)

    async def save(self, rows: Mapping[Key, Row]) -> None:
        """Keep the callers as they stand now."""
        await self._connection.executemany(
            "INSERT INTO callers VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, principal, model) "
            "DO UPDATE SET state = excluded.state, counts = excluded.counts, last_at = excluded.last_at",
            [
                (*key, row.state, row.counts, _time(row.first_s), _time(row.last_s))
                for key, row in sorted(rows.items())
            ],
        )

    async def suspect(self, key: Key, alarm: ExtractionSuspected) -> None:
        """Put a caller under suspicion."""
        await self._connection.execute(
            "INSERT INTO suspects VALUES ($1, $2, $3, $4, $5)",
            *key,
            alarm.alarm_id,
            alarm.SerializeToString(),
        )

    async def clear(self, alarm_id: str, *, model: str) -> ExtractionSuspected | None:
        """End a suspicion and forget what led to it; None where there is no such alarm."""
        data = await self._connection.fetchval(
            "DELETE FROM suspects WHERE alarm_id = $1 AND model = $2 RETURNING alarm", alarm_id, model
        )
        if data is None:
            return None
        alarm = ExtractionSuspected.FromString(data)
        await self._connection.execute(
            "DELETE FROM callers WHERE (tenant, principal, model) = ($1, $2, $3)",
            alarm.tenant,
            alarm.principal,
            alarm.model,
        )
        return alarm

    async def forget_oldest(self, *, most: int) -> None:
        """Keep no more than so many callers."""
        await self._connection.execute(
            "DELETE FROM callers WHERE last_at < "
            "(SELECT last_at FROM callers ORDER BY last_at DESC OFFSET $1 LIMIT 1)",
            most - 1,
        )

    async def count_suspects(self) -> int:
        """How many are suspected now."""
        return int(await self._connection.fetchval("SELECT count(*) FROM suspects"))

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Put messages into the outbox."""
        await outbox.put(self._connection, messages)


def _columns(keys: Sequence[Key]) -> tuple[list[str], list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]


def _time(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)
