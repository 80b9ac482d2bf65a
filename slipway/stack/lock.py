"""One at a time: starting and stopping the stack exclude each other."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from slipway.errors import Conflict
from slipway.stack.layout import Layout

_DEADLINE_S: Final = 180.0
_PAUSE_S: Final = 0.2


@contextmanager
def exclusive(layout: Layout, *, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the stack's lock; the kernel releases it when the process ends, however it ends.

    Args:
        layout: Whose lock.
        on_wait: Called once with the holder's process id when somebody else has it.
    Raises:
        Conflict: The holder keeps it for three minutes.
    """
    with layout.lock.open("a+") as file:
        _acquire(file, on_wait=on_wait)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _acquire(file: TextIO, *, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
        else:
            return
        if time.monotonic() > deadline:
            raise Conflict(
                f"another slipway command (pid {holder}) still starts or stops this stack; end it first"
            )
        if not told:
            on_wait(holder)
            told = True
        time.sleep(_PAUSE_S)


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "unknown"
