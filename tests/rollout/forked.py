"""Processes of the rollout service that start at once: each is forked from one that has all imports."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.service_process import ServiceProcess

_ZYGOTE: Final = Path(__file__).parent / "zygote.py"
_ROOT: Final = Path(__file__).resolve().parents[2]
_END_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Child:
    """A process by its id, with what is used of `Popen`."""

    pid: int

    def poll(self) -> int | None:
        """0 once it has ended; how it ended is not known here."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = _END_S) -> int:
        deadline_s = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < deadline_s, f"process {self.pid} does not end"
            time.sleep(0.005)
        return 0


@dataclass(kw_only=True)
class ForkedService(ServiceProcess):
    """Like a service process, but born of the zygote."""

    zygote: "subprocess.Popen[str]"

    def start(self) -> None:
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        order = {"environment": self.environment, "log": str(self.log)}
        self.zygote.stdin.write(json.dumps(order) + "\n")
        self.zygote.stdin.flush()
        child: Any = Child(int(self.zygote.stdout.readline()))
        self.process = child


@contextmanager
def forked(service: ServiceProcess) -> Iterator[ForkedService]:
    """The same service, started by forks; killed at the end."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    words = [sys.executable, str(_ZYGOTE)]
    with subprocess.Popen(
        words, env=environment, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zygote:
        it = ForkedService(name=service.name, environment=service.environment, log=service.log, zygote=zygote)
        try:
            yield it
        finally:
            if it.process is not None:
                it.kill()
            zygote.kill()
