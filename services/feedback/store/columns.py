"""Between plain values and PostgreSQL's."""

from datetime import UTC, datetime
from typing import Final

# One feedback transaction at a time per schema, also across processes: a label and its prediction
# that arrive together in two of them would otherwise miss each other, each seeing the other absent.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.feedback'))"


def at(seconds: float) -> datetime:
    """A timestamptz of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def affected(status: str) -> int:
    """How many rows a command tag such as `DELETE 12` speaks of."""
    return int(status.rsplit(" ", 1)[-1])
