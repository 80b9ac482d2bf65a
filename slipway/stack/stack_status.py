"""A look at the whole stack: what runs, since when, and what it costs."""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import Unavailable
from slipway.stack.part import Part
from slipway.stack.processes import family, find_ours, resident_bytes
from slipway.stack.stack import Stack
from slipway.stack.supervision import ProcessInfo, ProcessState, Supervision

_SPAWNED = re.compile(r"(supervisord started with pid)|spawned: '([^']+)' with pid")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One row of `slipway status`."""

    name: str
    state: str
    pid: int | None
    uptime_s: int
    memory_bytes: int
    port: int
    restarts: int


def stack_status(stack: Stack) -> list[PartStatus]:
    """Every part as it is now; all are `stopped` while no supervisor runs."""
    try:
        processes = Supervision(stack).processes()
    except Unavailable:
        ready = asyncio.run(_probe_all(stack)) if find_ours(stack.layout.home) else {}
        return [
            _idle(part, "unsupervised" if ready.get(part.name) else _resting(part)) for part in stack.parts
        ]
    ready = asyncio.run(_probe_all(stack))
    restarts = count_restarts(stack.layout.log("supervisord"))
    return [
        _status(part, processes[part.name], is_ready=ready[part.name], restarts=restarts[part.name])
        if part.name in processes
        else _idle(part, _resting(part))
        for part in stack.parts
    ]


async def _probe_all(stack: Stack) -> dict[str, bool]:
    answers = await asyncio.gather(*(part.is_ready() for part in stack.parts))
    return {part.name: answer for part, answer in zip(stack.parts, answers, strict=True)}


def _status(part: Part, info: ProcessInfo, *, is_ready: bool, restarts: int) -> PartStatus:
    is_running = info.state is ProcessState.RUNNING
    state = "ready" if is_running and is_ready else "not ready" if is_running else info.state.lower()
    if info.state is ProcessState.STOPPED:
        state = _resting(part)
    return PartStatus(
        name=part.name,
        state=state,
        pid=info.pid or None,
        uptime_s=int(time.time()) - info.started_at_s if is_running else 0,
        memory_bytes=resident_bytes(family(info.pid)) if info.pid else 0,
        port=part.port,
        restarts=restarts,
    )


def _resting(part: Part) -> str:
    return "standby" if part.on_demand else "stopped"


def _idle(part: Part, state: str) -> PartStatus:
    return PartStatus(
        name=part.name, state=state, pid=None, uptime_s=0, memory_bytes=0, port=part.port, restarts=0
    )


def count_restarts(supervisor_log: Path) -> Counter[str]:
    """Starts of each part beyond its first, since the supervisor itself started.

    supervisord counts nothing itself, but writes one line per start.
    """
    starts: Counter[str] = Counter()
    if supervisor_log.is_file():
        for match in _SPAWNED.finditer(supervisor_log.read_text(errors="replace")):
            if match[1]:
                starts.clear()
            else:
                starts[match[2]] += 1
    return Counter({name: count - 1 for name, count in starts.items()})
