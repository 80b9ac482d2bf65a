"""Starts the stack: every part as soon as the ones it needs are ready."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from slipway.errors import SlipwayError, Unavailable
from slipway.stack.log_files import last_lines, size_bytes
from slipway.stack.part import Part
from slipway.stack.preflight import check_ports, check_requirements
from slipway.stack.processes import end, find_ours
from slipway.stack.stack import Stack
from slipway.stack.supervision import ProcessState, Supervision

# Far above any start on an idle machine: a busy one is slow, not broken.
_READY_DEADLINE_S: Final = 240.0
_POLL_S: Final = 0.25
_LOG_LINES: Final = 15
_ALIVE: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})


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


def choose_parts(stack: Stack, names: Iterable[str]) -> tuple[Part, ...]:
    """The named parts and all they need, or the whole stack when none is named."""
    pending = [stack.part(name) for name in names]
    if not pending:
        return stack.parts
    chosen: set[str] = set()
    while pending:
        part = pending.pop()
        chosen.add(part.name)
        pending += [stack.part(need) for need in part.needs if need not in chosen]
    return tuple(part for part in stack.parts if part.name in chosen)


def bring_up(stack: Stack, parts: tuple[Part, ...], *, report: Report) -> None:
    """Start what is not running and wait until every part is ready.

    Raises:
        SlipwayError: The first thing that is missing, taken, dead or refused; what had started stays up.
    """
    supervision = Supervision(stack)
    check_requirements(parts)
    if supervision.is_running():
        supervision.refresh()
        alive = _alive(supervision)
    else:
        # A supervisor that was killed leaves its children: they hold the ports and nobody restarts them.
        end(find_ours(stack.layout.home))
        alive = frozenset()
    check_ports(part for part in parts if part.name not in alive)
    if not supervision.is_running():
        supervision.start_daemon()
    try:
        asyncio.run(_Ascent(stack, supervision, alive=alive, report=report).run(parts))
    except BaseExceptionGroup as group:
        raise _one_error(group) from None


def _alive(supervision: Supervision) -> frozenset[str]:
    return frozenset(name for name, info in supervision.processes().items() if info.state in _ALIVE)


def _one_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves = list(group.exceptions)
    unexpected = [error for error in leaves if not isinstance(error, SlipwayError)]
    if unexpected or len(leaves) == 1:
        return (unexpected or leaves)[0]
    return Unavailable("\n".join(str(error) for error in leaves))


class _Ascent:
    """One run of `up`."""

    def __init__(
        self, stack: Stack, supervision: Supervision, *, alive: frozenset[str], report: Report
    ) -> None:
        self._stack = stack
        self._supervision = supervision
        self._alive = alive
        self._report = report
        self._ready: Mapping[str, asyncio.Event] = {}

    async def run(self, parts: tuple[Part, ...]) -> None:
        """Bring all parts up at once; each waits for what it needs."""
        self._ready = {part.name: asyncio.Event() for part in parts}
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(self._bring_up(part))

    async def _bring_up(self, part: Part) -> None:
        was_running = part.name in self._alive
        try:
            for need in part.needs:
                await self._ready[need].wait()
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
        self._ready[part.name].set()

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
            deaths = len(pids) - 1 if info.state in _ALIVE else max(len(pids), 1)
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
