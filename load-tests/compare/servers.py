"""Processes that are started for one turn, and ended by their ids with all they have started."""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from slipway.stack.processes import end, family

_INSTALL_S: Final = 900.0
_READY_S: Final = 300.0  # Ray on a busy machine takes minutes
_GRACE_S: Final = 20.0
_TAIL_CHARACTERS: Final = 600
QUIET: Final = 0.1  # share of the processors that others may use while something is measured


class CannotRun(Exception):
    """A contestant that cannot take part, with the reason; the others go on."""


def install(name: str, requirements: Path, *, cache: Path) -> Path:
    """Make a peer's own environment from its pinned requirements; returns its folder of programs."""
    folder = cache / "peers" / name
    programs, stamp = folder / "bin", folder / ".installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return programs
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _find_uv(cache)
    command([uv, "venv", "-q", "--allow-existing", "--python", "3.11", str(folder)], within_s=_INSTALL_S)
    sync = [uv, "pip", "sync", "-q", "--python", str(programs / "python"), str(requirements)]
    command(sync, within_s=_INSTALL_S)
    stamp.write_text(wanted)
    return programs


def _find_uv(cache: Path) -> str:
    """Where `scripts/setup` finds or puts it."""
    found = shutil.which(
        "uv", path=f"{os.environ['PATH']}:{Path.home() / '.local' / 'bin'}:{cache / 'uv' / 'bin'}"
    )
    if found is None:
        raise CannotRun("there is no uv to make environments with; `./scripts/setup` installs it")
    return found


def command(words: Sequence[str], *, within_s: float, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; returns what it wrote.

    Raises:
        CannotRun: It is not there, failed, or took too long.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=within_s, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"`{' '.join(words[:3])}`: {error}") from error
    if done.returncode:
        raise CannotRun(f"`{' '.join(words[:3])}` failed: {(done.stderr or done.stdout)[-_TAIL_CHARACTERS:]}")
    return done.stdout


@contextmanager
def running(words: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Iterator["Server"]:
    """A server with its log in `folder`; at the end none of its processes is left.

    Raises:
        CannotRun: It cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        try:
            server = subprocess.Popen(
                words, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
            )
        except OSError as error:
            raise CannotRun(f"`{words[0]}`: {error}") from error
    try:
        yield Server(process=server, log=folder / "log")
    finally:
        _end(server)


def _end(server: "subprocess.Popen[bytes]") -> None:
    # Noted before the parent goes: orphans have no way back to the tree.
    started = family(server.pid)
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(timeout=_GRACE_S)
    end(process for process in started if process.pid != server.pid)
    if server.poll() is None:
        server.kill()
        server.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process that was started here."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Until it answers.

        Raises:
            CannotRun: It ended, or does not answer in time; with the end of its log.
        """
        wait_until(lambda: answers() or self.process.poll() is not None, log=self.log)
        if self.process.poll() is not None:
            raise CannotRun(f"it ended with code {self.process.returncode}: {self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return _tail(self.log)


def wait_until(answers: Callable[[], bool], *, log: Path) -> None:
    """Until someone else's server answers.

    Raises:
        CannotRun: It does not, within five minutes; with the end of its log.
    """
    deadline_s = time.monotonic() + _READY_S
    while not answers():
        if time.monotonic() > deadline_s:
            raise CannotRun(f"no right answer within {_READY_S:.0f} s; the end of its log: {_tail(log)}")
        time.sleep(0.2)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of these processes and their children so far."""
    total = 0.0
    for process in {process.pid: process for pid in pids for process in family(pid)}.values():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL_CHARACTERS:]


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def busy_share() -> float:
    """How much of the processors is busy right now, 0..1: asked before a turn, it is others' work."""
    return psutil.cpu_percent(interval=1.0) / 100
