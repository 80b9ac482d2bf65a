"""The SQL of notices on their way to their receivers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from services.rollout.store import Store
from slipway.postgres import Connection

_SHOWN_FAILURES: Final = 20
# One of each model and receiver at a time: who is slow keeps only his own waiting. It is the oldest that has
# not arrived, due or not, so that notices come in the order of the log also after a failure. What is claimed
# is due again after the lease, so that a process that is killed while it delivers delivers again.
_CLAIM: Final = """
    WITH oldest AS (
        SELECT DISTINCT ON (model, url) n, due_at FROM notices
        WHERE state = 'PENDING' AND NOT (model || ' ' || url = ANY($3))
        ORDER BY model, url, n),
    due AS (
        SELECT n FROM notices
        WHERE n IN (SELECT n FROM oldest WHERE due_at <= $1 ORDER BY due_at LIMIT $4)
        AND state = 'PENDING' AND due_at <= $1 FOR UPDATE SKIP LOCKED)
    UPDATE notices SET tries = tries + 1, due_at = $2 FROM due WHERE notices.n = due.n
    RETURNING notices.*
"""
_DROP_SURPLUS: Final = """
    UPDATE notices SET state = 'GIVEN_UP', reason = $2 WHERE n IN (
        SELECT n FROM (
            SELECT n, row_number() OVER (PARTITION BY model ORDER BY n DESC) AS place
            FROM notices WHERE state = 'PENDING') ranked
        WHERE place > $1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRow:
    """One message to one receiver."""

    id: str
    model: str
    tenant: str
    kind: str
    url: str
    body: bytes
    created_at_s: float
    state: str = "PENDING"
    tries: int = 0
    reason: str = ""

    @property
    def lane(self) -> str:
        """Whose turn it takes."""
        return f"{self.model} {self.url}"


async def write_notices(connection: Connection, rows: Sequence[NoticeRow]) -> None:
    """Add notices inside the caller's transaction; one that was written before is not written again."""
    if rows:
        await connection.executemany(
            "INSERT INTO notices (id, model, tenant, kind, url, body, created_at, due_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO NOTHING",
            [(r.id, r.model, r.tenant, r.kind, r.url, r.body, _at(r.created_at_s)) for r in rows],
        )


class NoticeStore:
    """The table of notices."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(
        self, *, now_s: float, until_s: float, busy: Sequence[str], limit: int
    ) -> list[NoticeRow]:
        """Take up notices that are due, none of a lane that is busy."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(_CLAIM, _at(now_s), _at(until_s), list(busy), limit)
        return [_notice_of(row) for row in rows]

    async def deliver(self, notice_id: str) -> None:
        """Note that a notice has arrived."""
        await self._set("state = 'DELIVERED', reason = ''", notice_id)

    async def retry(self, notice_id: str, *, due_s: float, reason: str) -> None:
        """Try again later."""
        await self._set("due_at = $2, reason = $3", notice_id, _at(due_s), reason)

    async def give_up(self, notice_id: str, *, reason: str) -> None:
        """Try no more."""
        await self._set("state = 'GIVEN_UP', reason = $2", notice_id, reason)

    async def tidy(self, *, most_pending: int, delete_before_s: float) -> tuple[int, int]:
        """Give up the oldest of each model beyond so many, forget old ones.

        Returns:
            How many were given up, how many wait.
        """
        why = f"more than {most_pending} notices of this model waited"
        async with self._store.connection() as connection:
            dropped = await connection.execute(_DROP_SURPLUS, most_pending, why)
            await connection.execute(
                "DELETE FROM notices WHERE created_at < $1 AND state <> 'PENDING'", _at(delete_before_s)
            )
            waiting = await connection.fetchval("SELECT count(*) FROM notices WHERE state = 'PENDING'")
        return int(dropped.rpartition(" ")[2]), int(waiting)

    async def load_failed(self, model: str) -> list[NoticeRow]:
        """Notices of a model that were given up, or failed so far; newest first."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                "SELECT * FROM notices WHERE model = $1 AND "
                "(state = 'GIVEN_UP' OR (state = 'PENDING' AND reason <> '')) ORDER BY n DESC LIMIT $2",
                model,
                _SHOWN_FAILURES,
            )
        return [_notice_of(row) for row in rows]

    async def _set(self, what: str, notice_id: str, *values: object) -> None:
        async with self._store.connection() as connection:
            await connection.execute(f"UPDATE notices SET {what} WHERE id = $1", notice_id, *values)  # noqa: S608


def _notice_of(row: Any) -> NoticeRow:
    return NoticeRow(
        id=row["id"],
        model=row["model"],
        tenant=row["tenant"],
        kind=row["kind"],
        url=row["url"],
        body=row["body"],
        created_at_s=row["created_at"].timestamp(),
        state=row["state"],
        tries=row["tries"],
        reason=row["reason"],
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
