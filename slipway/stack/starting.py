"""Starts one part and waits until it is ready."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from slipway.errors import SlipwayError, Unavailable
from slipway.stack.log_files import last_lines, size_bytes
from slipway.stack.part import Part
from slipway.stack.stack import Stack
from slipway.stack.supervision import ALIVE, Supervision

# Far above any start on an idle machine: a busy one is slow, not broken.
_READY_DEADLINE_S: Final = 240.0
_POLL_S: Final = 0.25
_LOG_LINES: Final = 15


class Phase(StrEnum):
    """Where a part stands on its way."""

    WAITING = "waiting"
    PREPARING = "preparing"
    STARTING = "starting"
    PROVISIONING = "provisioning"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of one part."""

    part: str
    phase: Phase
    was_running: bool = False


Report = Callable[[Progress], None]


class PartFailed(Unavailable):
    """A part died or did not get ready; carries the end of its log."""

    def __init__(self, part: str, reason: str, *, log_tail: list[str]) -> None:
        tail = "".join(f"\n    {line}" for line in log_tail)
        super().__init__(
            f"{part} {reason}" + (f"; the end of its log:{tail}" if tail else "; its log is empty")
        )


class Starter:
    """Brings single parts to readiness."""

    def __init__(self, stack: Stack, supervision: Supervision, report: Report) -> None:
        self._stack = stack
        self._supervision = supervision
        self._report = report

    async def bring_up(self, part: Part, *, was_running: bool) -> None:
        """Start a part unless it runs, and wait until it can work.

        Raises:
            PartFailed: It died or did not get ready.
            SlipwayError: What it needs beforehand or afterwards cannot be done.
        """
        try:
            log_start = 0 if was_running else size_bytes(self._stack.layout.log(part.name))
            if not was_running:
                await self._start(part)
            self._report(Progress(part=part.name, phase=Phase.STARTING, was_running=was_running))
            await self._wait_until_ready(part, log_start=log_start)
            if part.provision:
                self._report(Progress(part=part.name, phase=Phase.PROVISIONING, was_running=was_running))
                await part.provision()
        except SlipwayError as error:
            self._report(Progress(part=part.name, phase=Phase.FAILED))
            if isinstance(error, PartFailed):
                self._give_up(part)
            raise
        self._report(Progress(part=part.name, phase=Phase.READY, was_running=was_running))

    def _give_up(self, part: Part) -> None:
        # Left alone, supervisord would start it again and again, and bury the cause in its log.
        with contextlib.suppress(Unavailable):
            self._supervision.stop(part.name)

    async def _start(self, part: Part) -> None:
        self._report(Progress(part=part.name, phase=Phase.PREPARING))
        if part.prepare:
            await part.prepare()
        self._supervision.start(part.name)

    async def _wait_until_ready(self, part: Part, *, log_start: int) -> None:
        deadline = time.monotonic() + _READY_DEADLINE_S
        pids: set[int] = set()
        while True:
            info = self._supervision.processes()[part.name]
            pids |= {info.pid} - {0}
            deaths = len(pids) - 1 if info.state in ALIVE else max(len(pids), 1)
            if deaths >= part.start_attempts:
                reason = (
                    f"died while starting ({info.explanation})" if info.explanation else "died while starting"
                )
                raise self._failure(part, reason, log_start=log_start)
            if await part.is_ready():
                return
            if time.monotonic() > deadline:
                reason = f"is not ready after {_READY_DEADLINE_S:.0f} s (port {part.port})"
                raise self._failure(part, reason, log_start=log_start)
            await asyncio.sleep(_POLL_S)

    def _failure(self, part: Part, reason: str, *, log_start: int) -> PartFailed:
        tail = last_lines(self._stack.layout.log(part.name), _LOG_LINES, since_byte=log_start)
        return PartFailed(part.name, reason, log_tail=tail)
