"""The SQL of callbacks."""

from typing import Any, Final

from services.jobs.store.columns import at, owner_of, view_of
from services.jobs.store.entries import DueCallback
from slipway.postgres import Pool

# What is claimed is due again after the lease: a process that is killed while it delivers delivers again.
_CLAIM: Final = """
    WITH due AS (
        SELECT job_id FROM callbacks WHERE state = 'PENDING' AND due_at <= $1
        ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE callbacks SET tries = tries + 1, due_at = $2 FROM due WHERE callbacks.job_id = due.job_id
        RETURNING callbacks.job_id, callbacks.tries AS callback_tries, callbacks.deadline_at,
            callbacks.state AS callback)
    SELECT * FROM claimed JOIN jobs USING (job_id)
"""


class CallbackStore:
    """Results on their way to their URLs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, *, now_s: float, until_s: float, limit: int) -> list[DueCallback]:
        """Take up callbacks that are due."""
        rows = await self._pool.fetch(_CLAIM, at(now_s), at(until_s), limit)
        return [_due_of(row) for row in rows]

    async def deliver(self, job_id: str) -> None:
        """Note that a callback has arrived."""
        await self._pool.execute(
            "UPDATE callbacks SET state = 'DELIVERED', reason = '' WHERE job_id = $1", job_id
        )

    async def retry(self, job_id: str, *, due_s: float, reason: str) -> None:
        """Try again later."""
        await self._pool.execute(
            "UPDATE callbacks SET due_at = $2, reason = $3 WHERE job_id = $1", job_id, at(due_s), reason
        )

    async def give_up(self, job_id: str, *, reason: str) -> None:
        """Try no more."""
        await self._pool.execute(
            "UPDATE callbacks SET state = 'GIVEN_UP', reason = $2 WHERE job_id = $1", job_id, reason
        )


def _due_of(row: Any) -> DueCallback:
    return DueCallback(
        owner=owner_of(row),
        url=row["callback_url"],
        tries=row["callback_tries"],
        deadline_s=row["deadline_at"].timestamp(),
        job=view_of(row),
    )
