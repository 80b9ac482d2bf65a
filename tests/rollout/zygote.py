"""The rollout service with its imports done: a process forked from here is up at once.

    python tests/rollout/zygote.py

Each line of the input is JSON: the environment and the log of a process to start; its id is answered. What
makes a kill test long is not the kill but the start afterwards, and most of that is Python reading modules.
"""

import json
import os
import signal
import sys

from services.rollout.app import build
from services.rollout.settings import Settings
from slipway.process import run


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears the dead away
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order["environment"], order["log"])
            return
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(environment: dict[str, str], log: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    run("rollout", build, Settings)


if __name__ == "__main__":
    main()
