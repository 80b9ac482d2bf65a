"""What the gateway and the jobs service must mean alike when they speak of jobs."""

from typing import Final

HIGH: Final = "high"
NORMAL: Final = "normal"
LOW: Final = "low"
PRIORITIES: Final = (HIGH, NORMAL, LOW)

QUEUED: Final = "QUEUED"
RUNNING: Final = "RUNNING"
DONE: Final = "DONE"
FAILED: Final = "FAILED"
EXPIRED: Final = "EXPIRED"
CANCELLED: Final = "CANCELLED"
ENDED: Final = frozenset({DONE, FAILED, EXPIRED, CANCELLED})

# The longest a job may wait. Who is asked for a younger one that he has not seen says: it is on its way.
LONGEST_TTL_S: Final = 7 * 24 * 3600.0
LONGEST_WAIT_S: Final = 20.0
LONGEST_CALLBACK_URL: Final = 2000


def split_list(text: str) -> tuple[str, ...]:
    """The entries of a setting that is a list with commas."""
    return tuple(entry for entry in (part.strip() for part in text.split(",")) if entry)
