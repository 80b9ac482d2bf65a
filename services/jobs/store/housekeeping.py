"""The SQL that keeps everything bounded."""

from dataclasses import dataclass
from typing import Final

from services.jobs.store.columns import affected, at
from slipway.postgres import Pool

_FORGET_RESULTS: Final = """
    UPDATE jobs SET response = NULL, response_bytes = 0 WHERE job_id IN (
        SELECT job_id FROM jobs WHERE response_bytes > 0 AND finished_at < $1 ORDER BY finished_at LIMIT $2)
"""
# The oldest results whose sizes together are above the bound, but for what is still within it.
_FORGET_SURPLUS: Final = """
    UPDATE jobs SET response = NULL, response_bytes = 0 WHERE job_id IN (
        SELECT job_id FROM (
            SELECT job_id, finished_at, sum(response_bytes) OVER (ORDER BY finished_at DESC, job_id) AS kept
            FROM jobs WHERE response_bytes > 0) AS sizes
        WHERE kept > $1 ORDER BY finished_at LIMIT $2)
"""
_PRUNE: Final = """
    DELETE FROM jobs WHERE job_id IN (
        (SELECT job_id FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT $3)
        UNION
        (SELECT job_id FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT $2))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What is there now."""

    queued: dict[str, int]
    results_bytes: int
    callbacks_pending: int


class HousekeepingStore:
    """Deletes what has had its time."""

    def __init__(self, pool: Pool, *, batch_rows: int) -> None:
        self._pool = pool
        self._batch_rows = batch_rows

    async def forget_results(self, *, before_s: float) -> int:
        """Delete a batch of results that are older; returns how many."""
        return affected(await self._pool.execute(_FORGET_RESULTS, at(before_s), self._batch_rows))

    async def forget_surplus(self, *, max_bytes: int) -> int:
        """Delete a batch of the oldest results beyond the bound; returns how many."""
        total = await self._pool.fetchval("SELECT sum(response_bytes) FROM jobs WHERE response_bytes > 0")
        if (total or 0) <= max_bytes:
            return 0
        return affected(await self._pool.execute(_FORGET_SURPLUS, max_bytes, self._batch_rows))

    async def prune(self, *, before_s: float, max_jobs: int) -> int:
        """Delete a batch of ended jobs that are older, or beyond the bound; returns how many."""
        surplus = max(0, await self._pool.fetchval("SELECT count(*) FROM jobs") - max_jobs)
        done = await self._pool.execute(
            _PRUNE, at(before_s), min(surplus, self._batch_rows), self._batch_rows
        )
        return affected(done)

    async def count(self) -> Counts:
        """Count what is there."""
        rows = await self._pool.fetch(
            "SELECT priority, count(*) AS jobs FROM jobs WHERE state = 'QUEUED' GROUP BY priority"
        )
        return Counts(
            queued={row["priority"]: row["jobs"] for row in rows},
            results_bytes=await self._pool.fetchval(
                "SELECT coalesce(sum(response_bytes), 0) FROM jobs WHERE response_bytes > 0"
            ),
            callbacks_pending=await self._pool.fetchval(
                "SELECT count(*) FROM callbacks WHERE state = 'PENDING'"
            ),
        )
