"""Between plain values and PostgreSQL's."""

from datetime import UTC, datetime
from typing import Any

from services.jobs.store.entries import Owner, View
from slipway.job_terms import DONE


def at(seconds: float) -> datetime:
    """A timestamptz of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def affected(status: str) -> int:
    """How many rows a command tag such as `DELETE 12` speaks of."""
    return int(status.rsplit(" ", 1)[-1])


def owner_of(row: Any) -> Owner:
    """Whose row it is."""
    return Owner(tenant=row["tenant"], principal=row["principal"])


def view_of(row: Any) -> View:
    """A row of jobs with the state of its callback."""
    finished_at = row["finished_at"]
    return View(
        job_id=row["job_id"],
        model=row["model"],
        state=row["state"],
        priority=row["priority"],
        submitted_at_s=row["submitted_at"].timestamp(),
        expires_at_s=row["expires_at"].timestamp(),
        finished_at_s=None if finished_at is None else finished_at.timestamp(),
        tries=row["tries"],
        code=row["code"],
        message=row["message"],
        response=row["response"],
        callback=row["callback"] or "",
        has_lost_result=row["state"] == DONE and row["response"] is None,
    )
