"""Events that must be published exactly when a row changes: written in the row's transaction, sent behind it.

A service that uses it has this table in its migrations:

    CREATE TABLE outbox (
        id bigserial PRIMARY KEY, topic text NOT NULL, key text NOT NULL,
        value bytea NOT NULL, headers jsonb NOT NULL
    );
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import Gauge

from slipway.envelope import Outgoing
from slipway.errors import Unavailable
from slipway.kafka import Producer
from slipway.postgres import AWAY, Connection, Pool

log = logging.getLogger(__name__)

PENDING = Gauge("slipway_outbox_batch_messages", "Messages found waiting at the last look")

_BATCH: Final = 500
_LOOK_AGAIN_S: Final = 0.5
# The lock is held while Kafka takes the messages. A process that is stopped in the middle would keep it from
# its successor for as long as PostgreSQL bears an idle transaction, so this one is ended sooner.
_LOCK: Final = (
    "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.outbox')), "
    "set_config('idle_in_transaction_session_timeout', '60s', true)"
)


async def put(connection: Connection, messages: Iterable[Outgoing]) -> None:
    """Add messages to the outbox inside the caller's transaction."""
    rows = [(m.topic, m.key, m.value, {k: v.decode() for k, v in m.headers}) for m in messages]
    if rows:
        await connection.executemany(
            "INSERT INTO outbox (topic, key, value, headers) VALUES ($1, $2, $3, $4)", rows
        )


class Relay:
    """Sends what is in the outbox in order, then deletes it; a crash between the two sends twice."""

    def __init__(self, pool: Pool, producer: Producer) -> None:
        self._pool = pool
        self._producer = producer
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    async def flush(self) -> None:
        """Send what is committed now; where Kafka is away, leave it to the loop.

        Call it before a handler returns, so that a committed offset means: what follows is published.
        """
        try:
            while await self.relay_batch() == _BATCH:
                pass
        except (Unavailable, *AWAY) as error:
            log.warning("outbox is waiting: %r", error)
            self.wake()

    def wake(self) -> None:
        """Say that something was committed, so that nobody waits for the next look."""
        self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set, then once more."""
        while not stop.is_set():
            try:
                while await self.relay_batch() == _BATCH:
                    pass
                await self._wait()
            except (Unavailable, *AWAY) as error:
                log.warning("outbox is waiting: %r", error)
                await asyncio.sleep(_LOOK_AGAIN_S)
        await self.flush()

    async def relay_batch(self) -> int:
        """Send the oldest messages; returns how many. Only one relay of a schema works at a time."""
        async with self._turn, self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(_LOCK):
                return 0
            rows = await connection.fetch(
                "SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT $1", _BATCH
            )
            PENDING.set(len(rows))
            if rows:
                await self._producer.publish(_outgoing(row) for row in rows)
                await connection.execute("DELETE FROM outbox WHERE id = ANY($1)", [row["id"] for row in rows])
        return len(rows)

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), timeout=_LOOK_AGAIN_S)
        except TimeoutError:
            return
        self._news.clear()


def _outgoing(row: Any) -> Outgoing:
    headers = tuple((k, v.encode()) for k, v in row["headers"].items())
    return Outgoing(topic=row["topic"], key=row["key"], value=row["value"], headers=headers)
