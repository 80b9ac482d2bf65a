"""A service with its imports done: a process that is forked from here is up at once.

    python tests/zygote.py rollout FOLDER

Each line of the input is JSON: the environment and the log of a process to start; its id is answered. When it
ends, its exit code is left in a file of that name in the folder. What makes a test with restarts long is not
the end of a process but its start, and most of that is Python reading modules.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from slipway.process import run


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    build = importlib.import_module(f"services.{name}.app").build
    settings = importlib.import_module(f"services.{name}.settings").Settings
    signal.signal(signal.SIGCHLD, lambda *_: _reap(folder))
    for line in sys.stdin:
        order = json.loads(line)
        pid = _fork(folder)
        if pid == 0:
            _become(order)
            run(name, build, settings)
            return
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _fork(folder: Path) -> int:
    """A child, and no exit code of an earlier one with the same id."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    else:
        (folder / str(pid)).unlink(missing_ok=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    return pid


def _reap(folder: Path) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        written = folder / f"{pid}.new"
        written.write_text(str(os.waitstatus_to_exitcode(status)))
        written.rename(folder / str(pid))


def _become(order: dict[str, Any]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(order["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number, file in enumerate((nothing, output, output)):
        os.dup2(file, number)


if __name__ == "__main__":
    main()
