"""A gateway as one of several on a machine: a port and a directory of its own, and when it may join."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from services.gateway.settings import Settings
from slipway import web
from slipway.errors import Conflict, NotFound
from slipway.process import Process

LOCK: Final = "worker.lock"
_LOCK_WAIT_S: Final = 30.0  # longer than an adoption lasts
_FRESH_S: Final = 5.0
_POLL_S: Final = 0.05


@asynccontextmanager
async def probes(process: Process, settings: Settings) -> AsyncIterator[None]:
    """Health, readiness and metrics of exactly this process; they are no longer on the public port."""
    app = web.application(process.name, not_ready=process.not_ready)
    process.front.mount("metrics", _elsewhere)
    async with web.serving(app, host=settings.admin_host, port=settings.probe_port):
        yield


async def _elsewhere(_scope: web.Scope, _receive: web.Receive, send: web.Send) -> None:
    await web.refuse(send, NotFound("metrics are on the operators' port of each gateway"))


@asynccontextmanager
async def sole_user(state_dir: Path) -> AsyncIterator[None]:
    """Hold a state directory; the kernel lets go of it when the process ends, however it ends.

    Raises:
        Conflict: Another gateway uses it.
    """
    with _lock_file(state_dir) as file:
        for _ in range(round(_LOCK_WAIT_S / _POLL_S)):
            if try_lock(file.fileno()):
                break
            await asyncio.sleep(_POLL_S)
        else:
            raise Conflict(f"another gateway uses {state_dir}: give each its own SLIPWAY_STATE_DIR")
        os.utime(file.fileno())  # tells who looks after left directories that there was an owner again
        yield


def _lock_file(state_dir: Path) -> IO[bytes]:
    state_dir.mkdir(parents=True, exist_ok=True)
    return (state_dir / LOCK).open("ab")


def try_lock(descriptor: int) -> bool:
    """Take a file's lock if nobody has it; it is held as long as the file is open."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def until_fresh(process: Process, is_fresh: Callable[[], bool]) -> None:
    """Wait until a gateway may join others that serve: all it needs is known, and as new as theirs.

    What cannot be had anew within some seconds is taken as it was: those who tell it are away.
    """
    while process.missing():
        await asyncio.sleep(_POLL_S)
    for _ in range(round(_FRESH_S / _POLL_S)):
        if is_fresh():
            return
        await asyncio.sleep(_POLL_S)
