"""Stops the stack: services drain first, then what they stand on, and nothing is left."""

import shutil
import time
from collections.abc import Callable, Container, Iterable
from typing import Final

import psutil

from slipway.errors import Unavailable
from slipway.stack.layout import Layout
from slipway.stack.part import Part
from slipway.stack.processes import end, family, find_ours
from slipway.stack.stack import Stack
from slipway.stack.supervision import ProcessState, Supervision

_POLL_S: Final = 0.1
_GRACE_S: Final = 5.0
_STOPPED: Final = frozenset(
    {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL, ProcessState.UNKNOWN}
)
Say = Callable[[str], None]


def take_down(stack: Stack, *, say: Say) -> None:
    """Stop every part and the supervisor; returns when no process of the stack is left.

    Raises:
        Unavailable: A process survives even kill -9; names it.
    """
    supervision = Supervision(stack)
    known: list[psutil.Process] = []
    if supervision.is_running():
        known = family(supervision.daemon_pid())
        for wave in stop_order(stack.parts):
            stop_parts(stack, wave, say=say)
        supervision.shut_down()
        psutil.wait_procs(known[:1], timeout=_GRACE_S)
    # By the mark that all of them inherit: a killed parent's children have no way back to the tree.
    left = {process.pid: process for process in (*known, *find_ours(stack.layout.home))}
    survivors = [process for process in left.values() if process.is_running()]
    if survivors:
        say(f"ending {len(survivors)} left-over processes")
        end(survivors)
    if still := [str(process.pid) for process in find_ours(stack.layout.home)]:
        raise Unavailable(f"processes {', '.join(still)} of the stack do not end; look at them with `ps`")


def stop_order(parts: Iterable[Part]) -> list[list[Part]]:
    """Waves of parts: nobody stops before those who need it."""
    remaining = list(parts)
    waves: list[list[Part]] = [[part for part in remaining if part.is_service]]
    remaining = [part for part in remaining if not part.is_service]
    while remaining:
        needed = {need for part in remaining for need in part.needs}
        wave = [part for part in remaining if part.name not in needed]
        waves.append(wave)
        remaining = [part for part in remaining if part.name in needed]
    return waves


def stop_parts(stack: Stack, parts: Iterable[Part], *, say: Say) -> None:
    """Stop several parts at once and wait; supervisord kills one that overstays its time."""
    supervision = Supervision(stack)
    states = supervision.processes()
    wanted = [part for part in parts if part.name in states and states[part.name].state not in _STOPPED]
    if not wanted:
        return
    hurried = without_heirs(stack.parts, wanted, alive=supervision.alive())
    say(f"stopping {', '.join(part.name for part in wanted)}")
    for part in wanted:
        supervision.stop(part.name)
    deadline = time.monotonic() + max(part.stop_wait_s for part in wanted) + _GRACE_S
    while pending := _pending(supervision, wanted):
        if time.monotonic() > deadline:
            raise Unavailable(f"{', '.join(pending)} did not stop; see `slipway logs {pending[0]}`")
        time.sleep(_POLL_S)
        for name in hurried.intersection(pending):
            supervision.hurry(name)  # again and again: two signals that come at once are one


def without_heirs(
    parts: Iterable[Part], stopping: Iterable[Part], *, alive: Container[str]
) -> frozenset[str]:
    """Workers for whose clients nobody stays: they need not give them time to go elsewhere."""
    leaving = {part.name: part.worker_of for part in stopping}
    staying = {part.worker_of for part in parts if part.name in alive and part.name not in leaving}
    return frozenset(name for name, service in leaving.items() if service and service not in staying)


def _pending(supervision: Supervision, parts: Iterable[Part]) -> list[str]:
    states = supervision.processes()
    return [part.name for part in parts if states[part.name].state not in _STOPPED]


def delete_state(layout: Layout) -> None:
    """Remove everything the stack has kept, the lock's file apart: the caller holds it."""
    shutil.rmtree(layout.sockets, ignore_errors=True)
    for path in layout.home.iterdir():
        if path == layout.lock:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
