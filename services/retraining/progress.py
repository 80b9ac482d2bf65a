"""What a training is at, for those who watch it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

_WATCHERS: Final = 100
_REPORTS: Final = 100


@dataclass(frozen=True, slots=True)
class Report:
    """One stage and what there is to say about it."""

    stage: str
    message: str = ""


class ProgressBoard:
    """The present stage of each model, and every report of the requests that somebody watches."""

    def __init__(self) -> None:
        self._stages: dict[str, str] = {}
        self._watched: dict[str, deque[Report]] = {}
        self._news = asyncio.Condition()

    def stage(self, model: str) -> str:
        """What a model's training is at; empty when none runs."""
        return self._stages.get(model, "")

    async def report(self, model: str, request_id: str, *, stage: str, message: str = "") -> None:
        """Say that a training has come to a stage."""
        self._stages[model] = stage
        if request_id in self._watched:
            self._watched[request_id].append(Report(stage, message))
        async with self._news:
            self._news.notify_all()

    async def end(self, model: str) -> None:
        """Say that a model's training is over."""
        self._stages.pop(model, None)
        async with self._news:
            self._news.notify_all()

    def watch(self, request_id: str) -> None:
        """Begin to keep the reports of a request; the oldest watched one makes room."""
        if len(self._watched) >= _WATCHERS:
            self._watched.pop(next(iter(self._watched)))
        self._watched[request_id] = deque(maxlen=_REPORTS)

    async def take(self, request_id: str, *, timeout_s: float) -> AsyncIterator[Report]:
        """The reports since the last look, after waiting a while for one."""
        waiting = self._watched.get(request_id, deque())
        if not waiting:
            try:
                async with asyncio.timeout(timeout_s), self._news:
                    await self._news.wait()
            except TimeoutError:
                return
        while waiting:
            yield waiting.popleft()

    def unwatch(self, request_id: str) -> None:
        """Forget a request's reports."""
        self._watched.pop(request_id, None)
