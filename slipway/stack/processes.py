"""Looks at the operating system's processes: who listens, who is ours, who is left."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import psutil

from slipway.stack.part import HOME_MARK, PART_MARK

_RETITLED: Final = (("postgres", "postgres"), ("ray::", "ray"))
_TERMINATE_WAIT_S: Final = 8.0
_KILL_WAIT_S: Final = 5.0


def listeners(ports: Collection[int]) -> Mapping[int, int | None]:
    """The process that listens on each of these TCP ports; None where the system does not tell."""
    found = holders(ports)
    return {port: next((pid for pid in pids if pid is not None), None) for port, pids in found.items()}


def holders(ports: Collection[int]) -> Mapping[int, frozenset[int | None]]:
    """All processes that listen on each of these TCP ports: several may share one."""
    found: dict[int, frozenset[int | None]] = {}
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port in ports:
            port = connection.laddr.port
            found[port] = found.get(port, frozenset()) | {connection.pid}
    return found


def describe(pid: int | None) -> str:
    """A process as a person would name it."""
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        return f"{' '.join(process.cmdline())[:80] or process.name()} (pid {pid}, user {process.username()})"
    except psutil.Error:
        return f"pid {pid}"


def find_ours(home: Path, *, part: str | None = None) -> list[psutil.Process]:
    """Every process that the stack in `home` has started, whoever is its parent now."""
    return [process for process in psutil.process_iter() if _is_ours(process, home=home, part=part)]


def _is_ours(process: psutil.Process, *, home: Path, part: str | None) -> bool:
    try:
        environ = process.environ()
        if environ.get(HOME_MARK) == str(home):
            return part is None or environ.get(PART_MARK) == part
        return _works_in(process, home=home, part=part)
    except (psutil.Error, OSError):
        return False


def _works_in(process: psutil.Process, *, home: Path, part: str | None) -> bool:
    # These write their title over their environment, so the directory they work in has to tell.
    for prefix, owner in _RETITLED:
        if part in {None, owner} and process.name().startswith(prefix):
            return process.cwd() == str(home / owner)
    return False


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; empty when it is gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Resident memory of all of them; pages that they share count for each."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def end(processes: Iterable[psutil.Process]) -> None:
    """Ask each process to end, and kill the ones that do not. Ids are checked against reuse."""
    remaining = [process for process in processes if process.is_running()]
    for process in remaining:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, remaining = psutil.wait_procs(remaining, timeout=_TERMINATE_WAIT_S)
    for process in remaining:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(remaining, timeout=_KILL_WAIT_S)
