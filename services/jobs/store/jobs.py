"""The SQL of a job's life: it arrives, is taken up, put back, ended, looked at."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from services.jobs.domain.verdict import Again, Trial
from services.jobs.store.columns import affected, at, owner_of, view_of
from services.jobs.store.entries import Backlog, Claim, Ended, NewJob, Owner, View
from slipway import outbox
from slipway.envelope import Outgoing
from slipway.job_terms import CANCELLED
from slipway.postgres import Connection, Pool

Announce = Callable[[Ended], Iterable[Outgoing]]

_ADD: Final = """
    INSERT INTO jobs (job_id, tenant, principal, model, priority, state, request, request_bytes,
        submitted_at, expires_at, due_at, callback_url, reply_topic, submitter)
    SELECT j.job_id, j.tenant, j.principal, j.model, j.priority, 'QUEUED', j.request, length(j.request),
        j.submitted_at, j.expires_at, $12, j.callback_url, j.reply_topic, j.submitter
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
        $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::bytea[])
        AS j(job_id, tenant, principal, model, priority, request,
        submitted_at, expires_at, callback_url, reply_topic, submitter)
    ON CONFLICT (job_id) DO NOTHING
"""
_CLAIM: Final = """
    UPDATE jobs SET state = 'RUNNING', tries = tries + 1, claimed_by = $3, claimed_until = $4
    WHERE job_id = (
        SELECT due.job_id FROM unnest($1::text[]) WITH ORDINALITY AS turns(priority, turn)
        CROSS JOIN LATERAL (
            SELECT job_id FROM jobs
            WHERE state = 'QUEUED' AND priority = turns.priority AND due_at <= $2 AND expires_at > $2
            ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS due
        ORDER BY turns.turn LIMIT 1)
    RETURNING *
"""
# Only who has claimed a job may say what became of it: it may have been cancelled or taken over meanwhile.
_END: Final = """
    UPDATE jobs SET state = $4, code = $5, message = $6, response = $7, response_bytes = $8, finished_at = $9,
        request = NULL, claimed_by = '', claimed_until = NULL
    WHERE job_id = $1 AND state = 'RUNNING' AND claimed_by = $2 AND tries = $3 RETURNING *
"""
_CANCEL: Final = """
    UPDATE jobs SET state = 'CANCELLED', finished_at = $4, request = NULL, claimed_by = '',
        claimed_until = NULL, message = 'cancelled by its owner'
    WHERE job_id = $1 AND tenant = $2 AND principal = $3 AND state IN ('QUEUED', 'RUNNING') RETURNING *
"""
# Its job has not arrived: when it does, it finds itself cancelled.
_CANCEL_EARLY: Final = """
    INSERT INTO jobs (job_id, tenant, principal, model, priority, state, request_bytes, submitted_at,
        expires_at, due_at, finished_at, message)
    VALUES ($1, $2, $3, '', 'normal', 'CANCELLED', 0, $4, $4, $4, $4,
        'cancelled by its owner before it arrived')
    ON CONFLICT (job_id) DO NOTHING
"""
_EXPIRE: Final = """
    UPDATE jobs SET state = 'EXPIRED', finished_at = $1, request = NULL, code = 'DEADLINE_EXCEEDED',
        message = CASE WHEN message = '' THEN 'its time ran out before it was taken up'
            ELSE 'its time ran out; the last try: ' || message END
    WHERE job_id IN (SELECT job_id FROM jobs WHERE state = 'QUEUED' AND expires_at <= $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING *
"""
_FIND: Final = """
    SELECT jobs.*, callbacks.state AS callback FROM jobs LEFT JOIN callbacks USING (job_id)
    WHERE job_id = $1 AND tenant = $2 AND principal = $3
"""
_PUT_BACK: Final = """
    UPDATE jobs SET state = 'QUEUED', due_at = $4, attempt = $5, arm_failures = $6, code = $7, message = $8,
        claimed_by = '', claimed_until = NULL
    WHERE job_id = $1 AND state = 'RUNNING' AND claimed_by = $2 AND tries = $3
"""


class JobStore:
    """Jobs that survive a kill."""

    def __init__(self, pool: Pool, *, announce: Announce, instance: str, callback_deadline_s: float) -> None:
        self._pool = pool
        self._announce = announce
        self._instance = instance
        self._callback_deadline_s = callback_deadline_s

    async def backlog(self, priority: str) -> Backlog:
        """How many jobs of a priority wait, and how many bytes of all."""
        row = await self._pool.fetchrow(
            "SELECT count(*) FILTER (WHERE priority = $1) AS jobs, coalesce(sum(request_bytes), 0) AS bytes "
            "FROM jobs WHERE state = 'QUEUED'",
            priority,
        )
        return Backlog(jobs=row["jobs"], total_bytes=row["bytes"])

    async def add(self, jobs: Sequence[NewJob], *, now_s: float) -> int:
        """Take in jobs; those known already stay as they are. Returns how many were new."""
        rows = [
            (
                *(j.job_id, j.owner.tenant, j.owner.principal, j.model, j.priority, j.request),
                *(at(j.submitted_at_s), at(j.expires_at_s), j.callback_url, j.reply_topic, j.submitter),
            )
            for j in jobs
        ]
        return affected(await self._pool.execute(_ADD, *map(list, zip(*rows, strict=True)), at(now_s)))

    async def claim(self, priorities: Sequence[str], *, now_s: float, until_s: float) -> Claim | None:
        """Take up the job that has been due longest, of the first of these priorities that has one."""
        row = await self._pool.fetchrow(_CLAIM, list(priorities), at(now_s), self._instance, at(until_s))
        return None if row is None else _claim_of(row)

    async def put_back(self, claim: Claim, again: Again, *, code: str, message: str) -> bool:
        """Let a job wait for its next try; False when it is no longer this process's."""
        done = await self._pool.execute(
            *(_PUT_BACK, *self._mine(claim), at(again.due_at_s), again.attempt, again.arm_failures),
            *(code, message),
        )
        return affected(done) == 1

    async def finish(self, claim: Claim, ended: Ended) -> bool:
        """End a job, and say so, in one transaction; False when it is no longer this process's."""
        size = len(ended.response or b"")
        values = (ended.state, ended.code, ended.message, ended.response, size, at(ended.finished_at_s))
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_END, *self._mine(claim), *values)
            if row is not None:
                await self._tell(connection, [row])
        return row is not None

    async def expire(self, *, now_s: float, limit: int) -> list[str]:
        """End a batch of the jobs whose time ran out; returns their ids."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_EXPIRE, at(now_s), limit)
            await self._tell(connection, rows)
        return [row["job_id"] for row in rows]

    async def cancel(self, owner: Owner, job_id: str, *, now_s: float) -> bool:
        """End a job for its owner; one that has ended stays so. Returns whether it had not ended."""
        who = (job_id, owner.tenant, owner.principal)
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_CANCEL, *who, at(now_s))
            if row is not None:
                await self._tell(connection, [row])
                return True
            return affected(await connection.execute(_CANCEL_EARLY, *who, at(now_s))) == 1

    async def find(self, owner: Owner, job_id: str) -> View | None:
        """A job of this owner."""
        row = await self._pool.fetchrow(_FIND, job_id, owner.tenant, owner.principal)
        return None if row is None else view_of(row)

    async def release_own(self) -> int:
        """Put back what a process of this name had taken up when it ended; returns how many."""
        done = await self._pool.execute(
            "UPDATE jobs SET state = 'QUEUED', claimed_by = '', claimed_until = NULL "
            "WHERE state = 'RUNNING' AND claimed_by = $1",
            self._instance,
        )
        return affected(done)

    async def release_overdue(self, *, now_s: float) -> int:
        """Put back what no process has finished in its time; returns how many."""
        done = await self._pool.execute(
            "UPDATE jobs SET state = 'QUEUED', claimed_by = '', claimed_until = NULL "
            "WHERE state = 'RUNNING' AND claimed_until <= $1",
            at(now_s),
        )
        return affected(done)

    def _mine(self, claim: Claim) -> tuple[str, str, int]:
        return claim.trial.job_id, self._instance, claim.trial.tries

    async def _tell(self, connection: Connection, rows: Sequence[Any]) -> None:
        """Put the events of ended jobs in the outbox, and their callbacks in line."""
        await outbox.put(connection, [message for row in rows for message in self._announce(_ended_of(row))])
        callbacks = [
            (row["job_id"], row["finished_at"], at(self._deadline_s(row)))
            for row in rows
            if row["callback_url"] and row["state"] != CANCELLED
        ]
        if callbacks:
            await connection.executemany(
                "INSERT INTO callbacks (job_id, state, due_at, deadline_at) VALUES ($1, 'PENDING', $2, $3) "
                "ON CONFLICT DO NOTHING",
                callbacks,
            )

    def _deadline_s(self, row: Any) -> float:
        return float(row["finished_at"].timestamp()) + self._callback_deadline_s


def _claim_of(row: Any) -> Claim:
    return Claim(
        trial=Trial(
            job_id=row["job_id"],
            tries=row["tries"],
            attempt=row["attempt"],
            arm_failures=row["arm_failures"],
            expires_at_s=row["expires_at"].timestamp(),
        ),
        owner=owner_of(row),
        model=row["model"],
        priority=row["priority"],
        request=row["request"],
        submitted_at_s=row["submitted_at"].timestamp(),
        submitter=row["submitter"],
    )


def _ended_of(row: Any) -> Ended:
    return Ended(
        job_id=row["job_id"],
        owner=owner_of(row),
        model=row["model"],
        state=row["state"],
        code=row["code"],
        message=row["message"],
        response=row["response"],
        reply_topic=row["reply_topic"],
        submitted_at_s=row["submitted_at"].timestamp(),
        finished_at_s=row["finished_at"].timestamp(),
    )
