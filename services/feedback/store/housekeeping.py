"""The SQL that keeps the schema small and true to the clock: expiry, pruning, counts. Always in batches."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.feedback.store.columns import LOCK, affected, at
from services.feedback.store.entries import ParkedFeedback, Quarantined, parked_of
from services.feedback.store.joins import add_quarantined
from slipway.postgres import Pool

_EXPIRE: Final = """
    WITH due AS (
        SELECT prediction_id, row_index FROM prediction_rows
        WHERE state = 'PENDING' AND expires_at <= $1 ORDER BY expires_at LIMIT $2
    ), expired AS (
        UPDATE prediction_rows AS r SET state = 'EXPIRED', changed_at = $1 FROM due
        WHERE r.prediction_id = due.prediction_id AND r.row_index = due.row_index RETURNING r.model
    ) SELECT model, count(*) AS rows FROM expired GROUP BY model
"""
_PRUNE_OLD: Final = """
    WITH gone AS (DELETE FROM predictions WHERE prediction_id = ANY(ARRAY(
        SELECT prediction_id FROM predictions WHERE keep_until <= $1 ORDER BY keep_until LIMIT $2
    )) RETURNING prediction_id),
    rows AS (DELETE FROM prediction_rows WHERE prediction_id IN (SELECT prediction_id FROM gone)),
    doubles AS (DELETE FROM prediction_doubles WHERE prediction_id IN (SELECT prediction_id FROM gone))
    SELECT count(*) FROM gone
"""
# Ids are UUIDv7, so the smallest are the oldest.
_LAST_TO_GO: Final = "SELECT prediction_id FROM predictions ORDER BY 1 OFFSET $1 LIMIT 1"
_PRUNE_UP_TO: Final = """
    WITH rows AS (DELETE FROM prediction_rows WHERE prediction_id <= $1),
    doubles AS (DELETE FROM prediction_doubles WHERE prediction_id <= $1),
    gone AS (DELETE FROM predictions WHERE prediction_id <= $1 RETURNING 1)
    SELECT count(*) FROM gone
"""
_COUNT_PREDICTIONS: Final = "SELECT coalesce(sum(predictions), 0)::bigint FROM row_counts"


class Table(StrEnum):
    """Tables whose entries are pruned by the time they were received."""

    FEEDBACK_EVENTS = "feedback_events"
    FEEDBACK_SIGNALS = "feedback_signals"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCount:
    """How many rows of a model stand in a state."""

    model: str
    state: str
    rows: int


class HousekeepingStore:
    """One short transaction per call; each says how much it did, so that the caller goes on while needed."""

    def __init__(self, pool: Pool, *, batch_rows: int) -> None:
        self._pool = pool
        self._batch_rows = batch_rows

    async def expire_rows(self, now_s: float) -> dict[str, int]:
        """Give up waiting for rows whose horizon has passed; returns how many, by model."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK)
            rows = await connection.fetch(_EXPIRE, at(now_s), self._batch_rows)
        return {row["model"]: row["rows"] for row in rows}

    async def expire_parked(self, now_s: float, describe: Callable[[ParkedFeedback], Quarantined]) -> int:
        """Move a batch of feedback whose wait is over to the quarantine; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK)
            rows = await connection.fetch(
                "DELETE FROM parked WHERE arrival IN (SELECT arrival FROM parked WHERE expires_at <= $1 "
                "ORDER BY expires_at LIMIT $2) RETURNING *",
                at(now_s),
                self._batch_rows,
            )
            kept = [describe(parked_of(row)) for row in sorted(rows, key=lambda row: row["arrival"])]
            await add_quarantined(connection, kept, now_s=now_s)
        return len(kept)

    async def prune_old_predictions(self, now_s: float) -> int:
        """Delete a batch of predictions whose time is over; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK)
            return int(await connection.fetchval(_PRUNE_OLD, at(now_s), self._batch_rows))

    async def prune_surplus_predictions(self, max_predictions: int) -> int:
        """Delete a batch of the oldest predictions beyond a cap, whatever their state; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK)
            surplus = int(await connection.fetchval(_COUNT_PREDICTIONS)) - max_predictions
            if surplus <= 0:
                return 0
            last = await connection.fetchval(_LAST_TO_GO, min(surplus, self._batch_rows) - 1)
            return int(await connection.fetchval(_PRUNE_UP_TO, last))

    async def prune_entries(self, table: Table, *, before_s: float, max_entries: int) -> int:
        """Delete a batch of the entries of `table` that are too old or beyond its cap; returns how many."""
        surplus = max(0, await self._pool.fetchval(f"SELECT count(*) FROM {table}") - max_entries)  # noqa: S608
        status = await self._pool.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - a Table, never a sender's text
            f"(SELECT ctid FROM {table} WHERE received_at < $1 ORDER BY received_at LIMIT $2) UNION "
            f"(SELECT ctid FROM {table} ORDER BY received_at LIMIT $3)))",
            at(before_s),
            self._batch_rows,
            min(surplus, self._batch_rows),
        )
        return affected(status)

    async def count_states(self) -> list[StateCount]:
        """Rows by model and state."""
        rows = await self._pool.fetch("SELECT model, state, rows FROM row_counts WHERE rows > 0")
        return [StateCount(model=r["model"], state=r["state"], rows=r["rows"]) for r in rows]

    async def count_parked(self) -> int:
        """How much feedback waits for its prediction."""
        return int(await self._pool.fetchval("SELECT count(*) FROM parked"))
