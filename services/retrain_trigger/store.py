"""All SQL of the retrain trigger."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from services.retrain_trigger.domain.state import TriggerState
from slipway import outbox, positions
from slipway.envelope import Outgoing
from slipway.positions import Place
from slipway.postgres import Connection, Pool

_STATE = TypeAdapter(TriggerState)


class TriggerStore:
    """Opens transactions, and reads for operators."""

    def __init__(self, pool: Pool, *, kept_decisions: int) -> None:
        self._pool = pool
        self._kept = kept_decisions

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["TriggerTransaction"]:
        """One batch of events; rolled back as a whole when it fails."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield TriggerTransaction(connection, kept_decisions=self._kept)

    async def find(self, model: str) -> TriggerState | None:
        """The model as it stands, None when nothing has happened to it."""
        async with self._pool.acquire() as connection:
            value = await connection.fetchval("SELECT state FROM models WHERE model = $1", model)
        return None if value is None else _STATE.validate_python(value)

    async def lines(self, model: str) -> list[str]:
        """What was decided, newest first."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT decided_at, line FROM decisions WHERE model = $1 ORDER BY id DESC LIMIT $2",
                model,
                self._kept,
            )
        return [f"{row['decided_at']:%Y-%m-%d %H:%M:%S} {row['line']}" for row in rows]


class TriggerTransaction:
    """The reads and writes of one batch."""

    def __init__(self, connection: Connection, *, kept_decisions: int) -> None:
        self._connection = connection
        self._kept = kept_decisions

    async def positions(self, places: Sequence[Place]) -> dict[Place, int]:
        """Next offset to count of each partition, locked; 0 where nothing was counted."""
        return await positions.lock(self._connection, places)

    async def save_positions(self, counted: Mapping[Place, int]) -> None:
        """Move on; the offsets of a partition only grow."""
        await positions.save(self._connection, counted)

    async def load(self, models: Sequence[str]) -> dict[str, TriggerState]:
        """The models as they stand, locked in the order of their names."""
        await self._connection.executemany(
            "INSERT INTO models VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(model, _plain(TriggerState())) for model in sorted(models)],
        )
        rows = await self._connection.fetch(
            "SELECT model, state FROM models WHERE model = ANY($1) ORDER BY model FOR UPDATE", models
        )
        return {row["model"]: _STATE.validate_python(row["state"]) for row in rows}

    async def save(self, states: Mapping[str, TriggerState]) -> None:
        """Keep the models as they stand now."""
        await self._connection.executemany(
            "UPDATE models SET state = $2 WHERE model = $1",
            [(model, _plain(state)) for model, state in sorted(states.items())],
        )

    async def add_lines(self, lines: Sequence[tuple[str, str]], *, now_s: float) -> None:
        """Note decisions, each with its model, and forget the oldest."""
        at = datetime.fromtimestamp(now_s, UTC)
        await self._connection.executemany(
            "INSERT INTO decisions (model, decided_at, line) VALUES ($1, $2, $3)",
            [(model, at, line) for model, line in lines],
        )
        await self._connection.executemany(
            "DELETE FROM decisions WHERE model = $1 AND id <= "
            "(SELECT id FROM decisions WHERE model = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
            [(model, self._kept) for model in sorted({model for model, _ in lines})],
        )

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Put messages into the outbox."""
        await outbox.put(self._connection, messages)


def _plain(state: TriggerState) -> Any:
    return _STATE.dump_python(state, mode="json")
