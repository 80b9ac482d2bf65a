"""The SQL of one batch: what it may touch is read, what was decided is written, in one transaction."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from services.feedback.domain.claim import Content
from services.feedback.domain.identity import id_digest, key_digest
from services.feedback.domain.join import Row, State
from services.feedback.domain.ledger import Prediction, RowKey, StoredRow
from services.feedback.records import Record
from services.feedback.store.columns import LOCK, at
from services.feedback.store.entries import (
    LoadedRow,
    NewParked,
    ParkedFeedback,
    Position,
    Quarantined,
    Signal,
    parked_of,
)
from slipway import outbox
from slipway.envelope import Outgoing
from slipway.postgres import Connection, Pool
from slipway.tokens import Owner

_PENDING: Final = State.PENDING.value


class JoinStore:
    """Opens the transactions in which batches are joined."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["JoinTransaction"]:
        """One batch, alone in the schema; rolled back as a whole when it fails."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK)
            yield JoinTransaction(connection)


class JoinTransaction:
    """The reads and writes of one batch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def positions(self, prediction_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Partition and offset at which known predictions were first read."""
        rows = await self._connection.fetch(
            "SELECT prediction_id, source_partition, source_offset FROM predictions "
            "WHERE prediction_id = ANY($1)",
            prediction_ids,
        )
        return {r["prediction_id"]: (r["source_partition"], r["source_offset"]) for r in rows}

    async def add_predictions(self, records: Sequence[tuple[Record, float, float]], *, now_s: float) -> None:
        """Add new predictions, each with when its rows expire and until when it is kept."""
        changed_at = at(now_s)
        await self._connection.copy_records_to_table(
            "predictions",
            columns=_PREDICTION_COLUMNS,
            records=[_prediction_columns(record, keep_until_s) for record, _, keep_until_s in records],
        )
        await self._connection.copy_records_to_table(
            "prediction_rows",
            columns=_ROW_COLUMNS,
            records=[
                columns
                for record, expires_at_s, _ in records
                for columns in _row_columns(record, expires_at=at(expires_at_s), changed_at=changed_at)
            ],
        )

    async def add_doubles(self, positions: Sequence[tuple[str, int, int]]) -> int:
        """Note second records of known predictions; returns how many were new."""
        rows = await self._connection.fetch(
            "INSERT INTO prediction_doubles SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) "
            "ON CONFLICT DO NOTHING RETURNING 1",
            *_columns(positions, 3),
        )
        return len(rows)

    async def has_parked(self) -> bool:
        """Whether any feedback waits at all."""
        return bool(await self._connection.fetchval("SELECT EXISTS (SELECT FROM parked)"))

    async def take_parked(self, subjects: Sequence[bytes]) -> list[ParkedFeedback]:
        """Remove and return what waits for these predictions, in order of arrival."""
        rows = await self._connection.fetch(
            "DELETE FROM parked WHERE subject = ANY($1) RETURNING *", subjects
        )
        return [parked_of(row) for row in sorted(rows, key=lambda row: row["arrival"])]

    async def predictions(
        self, prediction_ids: Iterable[str], key_digests: Iterable[bytes]
    ) -> dict[bytes, Prediction]:
        """Known predictions by subject digest; a key stands for the one served last."""
        rows = await self._connection.fetch(
            "SELECT *, NULL::bytea AS wanted FROM predictions WHERE prediction_id = ANY($1) UNION ALL "
            "SELECT p.*, k.digest FROM unnest($2::bytea[]) AS k(digest) CROSS JOIN LATERAL ("
            "SELECT * FROM predictions WHERE key_digest = k.digest "
            "ORDER BY served_at DESC, prediction_id DESC LIMIT 1) AS p",
            list(prediction_ids),
            list(key_digests),
        )
        return {row["wanted"] or id_digest(row["prediction_id"]): _prediction(row) for row in rows}

    async def rows(self, keys: Sequence[RowKey]) -> dict[RowKey, LoadedRow]:
        """The rows that exist among `keys`."""
        rows = await self._connection.fetch(
            "SELECT r.*, p.tenant, p.principal, p.version, p.digest, p.arm, p.route_epoch, "
            "p.served_at, p.unit, p.pinned "
            "FROM unnest($1::text[], $2::int[]) AS wanted(prediction_id, row_index) "
            "JOIN prediction_rows r USING (prediction_id, row_index) "
            "JOIN predictions p USING (prediction_id)",
            *_columns(keys, 2),
        )
        return {(row["prediction_id"], row["row_index"]): _loaded(row) for row in rows}

    async def seen(self, identities: Sequence[bytes]) -> set[bytes]:
        """Which of these were taken before."""
        rows = await self._connection.fetch(
            "SELECT identity FROM feedback_events WHERE identity = ANY($1)", identities
        )
        return {row["identity"] for row in rows}

    async def parked_by_tenant(self, tenants: Iterable[str]) -> Counter[str]:
        """How many wait, of each tenant."""
        rows = await self._connection.fetch(
            "SELECT tenant, count(*) AS waiting FROM parked WHERE tenant = ANY($1) GROUP BY tenant",
            list(tenants),
        )
        return Counter({row["tenant"]: row["waiting"] for row in rows})

    async def change_rows(self, rows: dict[RowKey, Row], *, now_s: float) -> None:
        """Write rows as they stand after the batch."""
        changes = [(*key, r.state.value, r.label, r.source, r.revision) for key, r in rows.items()]
        await self._connection.execute(
            "UPDATE prediction_rows AS r SET state = c.state, label = c.label, source = c.source, "
            "revision = c.revision, changed_at = $7 "
            "FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::int[]) "
            "AS c(prediction_id, row_index, state, label, source, revision) "
            "WHERE r.prediction_id = c.prediction_id AND r.row_index = c.row_index",
            *_columns(changes, 6),
            at(now_s),
        )

    async def add_events(self, identities: Iterable[bytes], *, now_s: float) -> None:
        """Remember feedback as taken."""
        await self._connection.execute(
            "INSERT INTO feedback_events SELECT unnest($1::bytea[]), $2 ON CONFLICT DO NOTHING",
            list(identities),
            at(now_s),
        )

    async def add_signals(self, signals: Sequence[Signal], *, now_s: float) -> None:
        """Keep what was said beside labels."""
        await self._connection.executemany(
            "INSERT INTO feedback_signals VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            [
                (s.identity, *s.key, s.model, s.content.kind.value, _value(s.content), s.source, at(now_s))
                for s in signals
            ],
        )

    async def park(self, parked: Sequence[NewParked]) -> None:
        """Let early feedback wait."""
        await self._connection.copy_records_to_table(
            "parked", columns=_PARKED_COLUMNS, records=[_parked_columns(p) for p in parked]
        )

    async def quarantine(self, kept: Sequence[Quarantined], *, now_s: float) -> None:
        """Keep feedback apart."""
        await add_quarantined(self._connection, kept, now_s=now_s)

    async def publish(self, messages: Iterable[Outgoing]) -> None:
        """Put events in the outbox."""
        await outbox.put(self._connection, messages)


async def add_quarantined(connection: Connection, kept: Sequence[Quarantined], *, now_s: float) -> None:
    """Keep feedback apart; the same message read twice is kept once."""
    await connection.executemany(
        "INSERT INTO quarantine (source_topic, source_partition, source_offset, source_timestamp_ms, "
        "reason, detail, model, payload, headers, received_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        [
            (*_position(q.position), q.reason, q.detail, q.model, q.payload, q.headers, at(now_s))
            for q in kept
        ],
    )


# fmt: off
_PREDICTION_COLUMNS = (
    "prediction_id", "tenant", "principal", "model", "version", "digest", "arm", "route_epoch",
    "business_key", "key_digest", "unit", "pinned", "row_count", "served_at", "keep_until",
    "source_partition", "source_offset",
)
_ROW_COLUMNS = (
    "prediction_id", "row_index", "model", "predicted", "probabilities", "inputs",
    "state", "expires_at", "changed_at",
)
_PARKED_COLUMNS = (
    "subject", "tenant", "principal", "model", "message", "event_id", "received_at", "expires_at",
    "source_topic", "source_partition", "source_offset", "source_timestamp_ms",
)
# fmt: on


def _prediction_columns(r: Record, keep_until_s: float) -> tuple[Any, ...]:
    digest = key_digest(r.model, r.business_key, r.owner) if r.business_key else None
    return (
        *(r.prediction_id, r.tenant, r.principal, r.model, r.version, r.digest, r.arm, r.route_epoch),
        *(r.business_key, digest, r.unit, r.is_pinned, len(r.rows), at(r.served_at_s), at(keep_until_s)),
        *(r.partition, r.offset),
    )


def _row_columns(record: Record, *, expires_at: datetime, changed_at: datetime) -> Iterable[tuple[Any, ...]]:
    for number, row in enumerate(record.rows):
        yield (
            *(record.prediction_id, number, record.model, row.predicted, row.probabilities, row.inputs),
            *(_PENDING, expires_at, changed_at),
        )


def _parked_columns(new: NewParked) -> tuple[Any, ...]:
    f = new.feedback
    return (
        *(new.subject, f.owner.tenant, f.owner.principal, new.model, f.message, f.event_id),
        *(at(f.received_at_s), at(new.expires_at_s), *_position(f.position)),
    )


def _position(position: Position) -> tuple[str, int, int, int]:
    return position.topic, position.partition, position.offset, position.timestamp_ms


def _prediction(row: Any) -> Prediction:
    return Prediction(
        prediction_id=row["prediction_id"],
        owner=Owner(row["tenant"], row["principal"]),
        model=row["model"],
        rows=row["row_count"],
    )


def _loaded(row: Any) -> LoadedRow:
    standing = Row(
        state=State(row["state"]), label=row["label"], source=row["source"], revision=row["revision"]
    )
    return LoadedRow(stored=StoredRow(row=standing, predicted=row["predicted"]), context=row)


def _value(content: Content) -> float:
    return float(content.is_yes) if content.kind.value == "accepted" else content.number


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into the arrays that unnest() takes."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
