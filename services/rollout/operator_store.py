"""The SQL of operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.rollout.store import Store
from slipway.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """One operator; `revoked_at_s` is None while the token opens."""

    name: str
    roles: tuple[str, ...]
    token_sha256: bytes
    created_at_s: float
    created_by: str
    revoked_at_s: float | None = None


class OperatorStore:
    """The table of operators."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, row: OperatorRow) -> None:
        """Store an operator.

        Raises:
            Conflict: The name has a token already.
        """
        async with self._store.connection() as connection:
            await connection.execute(
                "INSERT INTO operators (name, token_sha256, roles, created_at, created_by) "
                "VALUES ($1, $2, $3, $4, $5)",
                row.name,
                row.token_sha256,
                list(row.roles),
                _at(row.created_at_s),
                row.created_by,
            )

    async def load(self) -> list[OperatorRow]:
        """All operators, revoked ones too, oldest first."""
        async with self._store.connection() as connection:
            rows = await connection.fetch("SELECT * FROM operators ORDER BY id")
        return [_row_of(row) for row in rows]

    async def load_active(self) -> list[OperatorRow]:
        """Those whose tokens open."""
        async with self._store.connection() as connection:
            rows = await connection.fetch("SELECT * FROM operators WHERE revoked_at IS NULL ORDER BY id")
        return [_row_of(row) for row in rows]

    async def revoke(self, name: str, *, now_s: float) -> OperatorRow:
        """Take an operator's token back.

        Raises:
            NotFound: Nobody of that name has one.
        """
        async with self._store.connection() as connection:
            row = await connection.fetchrow(
                "UPDATE operators SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL RETURNING *",
                name,
                _at(now_s),
            )
        if row is None:
            raise NotFound(f"no operator {name!r} has a token; `slipway operators list` shows all")
        return _row_of(row)


def names_with_roles(rows: Sequence[OperatorRow]) -> list[tuple[str, tuple[str, ...]]]:
    """Names beside their roles."""
    return [(row.name, row.roles) for row in rows]


def _row_of(row: Any) -> OperatorRow:
    return OperatorRow(
        name=row["name"],
        roles=tuple(row["roles"]),
        token_sha256=row["token_sha256"],
        created_at_s=row["created_at"].timestamp(),
        created_by=row["created_by"],
        revoked_at_s=row["revoked_at"].timestamp() if row["revoked_at"] else None,
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
