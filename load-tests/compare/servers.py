"""Processes that are started for one turn, and ended by their ids with all they have started."""

import contextlib
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from slipway.stack.processes import end, family

_INSTALL_S: Final = 900.0
_READY_S: Final = 120.0
_GRACE_S: Final = 20.0
_TAIL_CHARACTERS: Final = 600


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
    command(["uv", "venv", "-q", "--allow-existing", "--python", "3.11", str(folder)], within_s=_INSTALL_S)
    sync = ["uv", "pip", "sync", "-q", "--python", str(programs / "python"), str(requirements)]
    command(sync, within_s=_INSTALL_S)
    stamp.write_text(wanted)
    return programs


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
def running(words: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """A server with its log in `folder`; at the end none of its processes is left."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        try:
            server = subprocess.Popen(
                words, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log
            )
        except OSError as error:
            raise CannotRun(f"`{words[0]}`: {error}") from error
    try:
        yield
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


def wait_until(answers: Callable[[], bool], *, log: Path) -> None:
    """Until a server answers.

    Raises:
        CannotRun: It does not, within two minutes; with the end of its log.
    """
    deadline_s = time.monotonic() + _READY_S
    while not answers():
        if time.monotonic() > deadline_s:
            tail = log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
            raise CannotRun(f"no right answer within {_READY_S:.0f} s; the end of its log: {tail}")
        time.sleep(0.2)


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def load_average() -> float:
    """Of the last minute."""
    return psutil.getloadavg()[0]
