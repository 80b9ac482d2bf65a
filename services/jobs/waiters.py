"""Callers that wait for the end of a job."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_MOST: Final = 1000


class Waiters:
    """Wakes who waits in this process; who waits in another one looks again after a second."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}
        self._count = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody more may wait."""
        return self._count >= _MOST

    @contextmanager
    def waiting(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the job has ended."""
        event = asyncio.Event()
        self._events.setdefault(job_id, set()).add(event)
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            others = self._events[job_id]
            others.discard(event)
            if not others:
                del self._events[job_id]

    def wake(self, job_id: str) -> None:
        """Say that a job has ended."""
        for event in self._events.get(job_id, ()):
            event.set()
