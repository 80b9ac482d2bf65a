"""The SQL of requests: taken, running, decided; and of who is champion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from slipway import outbox
from slipway.envelope import Outgoing
from slipway.postgres import Pool
from slipway.v1.retraining_pb2 import RetrainRequested

_INSERT: Final = """
    INSERT INTO jobs (request_id, model, tenant, request, state) VALUES ($1, $2, $3, $4, 'QUEUED')
    ON CONFLICT (request_id) DO NOTHING
"""
_CLAIM: Final = """
    UPDATE jobs SET state = 'RUNNING', attempts = attempts + 1 WHERE request_id = (
        SELECT request_id FROM jobs WHERE state IN ('QUEUED', 'RUNNING') AND model <> ALL($1)
        ORDER BY seq LIMIT 1)
    RETURNING request_id, request, attempts
"""
_DECIDE: Final = """
    UPDATE jobs SET state = $2, reason = $3, outcome = $4, decided_at = now()
    WHERE request_id = $1 AND state IN ('QUEUED', 'RUNNING')
"""
_STATUS: Final = """
    SELECT count(*) FILTER (WHERE state IN ('QUEUED', 'RUNNING')) AS open,
           count(*) FILTER (WHERE state = 'RUNNING') AS running,
           count(*) FILTER (WHERE state = 'BLESSED') AS blessed,
           count(*) FILTER (WHERE state = 'REJECTED') AS rejected,
           count(*) FILTER (WHERE state = 'INSUFFICIENT') AS insufficient,
           (SELECT count(*) FROM outbox WHERE key = $1) AS unsent
    FROM jobs WHERE model = $1
"""
_CHAMPION: Final = """
    INSERT INTO champions AS known (model, version, seq) VALUES ($1, $2, $3)
    ON CONFLICT (model) DO UPDATE SET version = excluded.version, seq = excluded.seq
    WHERE excluded.seq > known.seq
"""
_PRUNE: Final = """
    DELETE FROM jobs WHERE state NOT IN ('QUEUED', 'RUNNING')
        AND model = $1 AND seq <= (SELECT seq FROM jobs WHERE model = $1 ORDER BY seq DESC OFFSET $2 LIMIT 1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request on its way to a decision."""

    request: RetrainRequested
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of a request: its state, why, and the event that says so."""

    request_id: str
    state: str
    reason: str
    outcome: bytes
    event: Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """A model's requests, by what became of them."""

    open: int
    running: int
    blessed: int
    rejected: int
    insufficient: int
    last_outcome: str


class JobStore:
    """Requests that survive a kill."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, request: RetrainRequested) -> bool:
        """Take a request; False when it is known already."""
        done = await self._pool.execute(
            _INSERT, request.request_id, request.model, request.tenant, request.SerializeToString()
        )
        return not done.endswith(" 0")

    async def count_open(self, model: str) -> int:
        """Requests of a model that wait or run."""
        return int(
            await self._pool.fetchval(
                "SELECT count(*) FROM jobs WHERE model = $1 AND state IN ('QUEUED', 'RUNNING')", model
            )
        )

    async def claim(self, busy_models: Sequence[str]) -> Job | None:
        """Start the oldest open request of a model that is not busy here.

        One that is marked as running elsewhere was left behind by a kill: there is one process.
        """
        row = await self._pool.fetchrow(_CLAIM, list(busy_models))
        if row is None:
            return None
        return Job(request=RetrainRequested.FromString(row["request"]), attempts=row["attempts"])

    async def decide(self, decision: Decision) -> bool:
        """Write a decision together with its event; False when it had been decided before."""
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.execute(
                _DECIDE, decision.request_id, decision.state, decision.reason, decision.outcome
            )
            if done.endswith(" 0"):
                return False
            await outbox.put(connection, [decision.event])
        return True

    async def find_decision(self, request_id: str) -> tuple[str, bytes] | None:
        """State and event of a decided request; None while it is open or unknown."""
        row = await self._pool.fetchrow(
            "SELECT state, outcome FROM jobs WHERE request_id = $1 AND outcome IS NOT NULL", request_id
        )
        return None if row is None else (row["state"], row["outcome"])

    async def counts(self, model: str) -> JobCounts:
        """How a model's requests ended. One stays open until its event has left the outbox."""
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            row = await connection.fetchrow(_STATUS, model)
            last = await connection.fetchrow(
                "SELECT state, reason FROM jobs WHERE model = $1 AND decided_at IS NOT NULL "
                "ORDER BY decided_at DESC LIMIT 1",
                model,
            )
        return _counts(row, last)

    async def set_champion(self, model: str, version: str, *, seq: int) -> None:
        """Note who is champion, unless something newer is known."""
        await self._pool.execute(_CHAMPION, model, version, seq)

    async def find_champion(self, model: str) -> str:
        """The champion's version; empty when there is none."""
        found: str | None = await self._pool.fetchval("SELECT version FROM champions WHERE model = $1", model)
        return found or ""

    async def prune(self, model: str, keep_jobs: int) -> None:
        """Forget the oldest decided requests above a bound."""
        await self._pool.execute(_PRUNE, model, keep_jobs)


def _counts(row: Any, last: Any) -> JobCounts:
    return JobCounts(
        open=row["open"] + row["unsent"],
        running=row["running"],
        blessed=row["blessed"],
        rejected=row["rejected"],
        insufficient=row["insufficient"],
        last_outcome="" if last is None else f"{last['state']}: {last['reason']}",
    )
