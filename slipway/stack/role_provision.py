"""A role and a schema per service in one database; nobody can look into a neighbour's."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import asyncpg

from slipway.errors import Unavailable
from slipway.stack.credentials import password_file, read_secret

DATABASE: Final = "slipway"
MLFLOW: Final = "mlflow"
SERVICE_ROLES: Final = (
    "gateway",
    "feedback",
    "rollout",
    "retraining",
    "retrain_trigger",
    "drift_detection",
    "jobs",
    "query_watch",
)
ROLES: Final = (*SERVICE_ROLES, MLFLOW)
_TIMEOUT_S: Final = 15.0


async def provision_roles(admin_dsn: str, *, secrets: Path) -> None:
    """Create databases, roles and schemas where missing, and set every password and right anew.

    Args:
        admin_dsn: The owner's connection to the `postgres` database.
        secrets: Directory with one password file per role.
    Raises:
        Unavailable: The server refuses a statement.
    """
    try:
        await _run(admin_dsn, [_role(role, read_secret(secrets, password_file(role))) for role in ROLES])
        await _create_databases(admin_dsn)
        owner_dsn = admin_dsn.rpartition("/")[0] + "/" + DATABASE
        await _run(owner_dsn, [_closed(DATABASE), *(_schema(role) for role in SERVICE_ROLES)])
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Unavailable(f"creating roles failed: {error!r}; see `slipway logs postgres`") from error


async def _run(dsn: str, statements: Iterable[str]) -> None:
    connection = await asyncpg.connect(dsn, timeout=_TIMEOUT_S, ssl=False)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=_TIMEOUT_S)
    finally:
        await connection.close()


async def _create_databases(admin_dsn: str) -> None:
    connection = await asyncpg.connect(admin_dsn, timeout=_TIMEOUT_S, ssl=False)
    try:
        rows = await connection.fetch("SELECT datname FROM pg_database", timeout=_TIMEOUT_S)
        existing = {row["datname"] for row in rows}
        # CREATE DATABASE knows no IF NOT EXISTS and no transaction.
        if DATABASE not in existing:
            await connection.execute(f"CREATE DATABASE {DATABASE}", timeout=_TIMEOUT_S)
        if MLFLOW not in existing:
            await connection.execute(f"CREATE DATABASE {MLFLOW} OWNER {MLFLOW}", timeout=_TIMEOUT_S)
        await connection.execute(_closed(MLFLOW), timeout=_TIMEOUT_S)
        await connection.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC", timeout=_TIMEOUT_S)
    finally:
        await connection.close()


def _role(role: str, password: str) -> str:
    # Names come from the constants above and passwords are hex, so neither can break the quoting.
    return f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF;
        END $$;
        ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';
    """


def _closed(database: str) -> str:
    return f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"


def _schema(role: str) -> str:
    return f"""
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        GRANT CONNECT, TEMPORARY ON DATABASE {DATABASE} TO {role};
        CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role};
        ALTER ROLE {role} IN DATABASE {DATABASE} SET search_path = {role};
    """
