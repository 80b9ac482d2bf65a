"""Processes of services that start at once: each is forked from one that has all imports (`zygote.py`)."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_ZYGOTE: Final = Path(__file__).parent / "zygote.py"
_ROOT: Final = Path(__file__).resolve().parents[1]
_END_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Child:
    """A process by its id, with what is used of `Popen`."""

    pid: int
    folder: Path

    def poll(self) -> int | None:
        """How it ended; None while it has not."""
        file = self.folder / str(self.pid)
        return int(file.read_text()) if file.exists() else None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = _END_S) -> int:
        deadline_s = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline_s, f"process {self.pid} does not end"
            time.sleep(0.005)
        return code


@dataclass(kw_only=True)
class Nursery:
    """One zygote for each service, from its first start to the end of the tests."""

    zygotes: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="slipway-nursery-")))

    def start(self, name: str, environment: dict[str, str], *, log: Path) -> Child:
        log.touch()  # whoever looks into it need not wait for the process
        zygote = self.zygotes.get(name) or self._begin(name, environment)
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        zygote.stdin.write(json.dumps({"environment": environment, "log": str(log)}) + "\n")
        zygote.stdin.flush()
        return Child(int(zygote.stdout.readline()), self.folder)

    def _begin(self, name: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
        words = [sys.executable, str(_ZYGOTE), name, str(self.folder)]
        own = {**environment, "PYTHONPATH": str(_ROOT)}
        pipe = subprocess.PIPE
        zygote = subprocess.Popen(words, env=own, cwd=_ROOT, stdin=pipe, stdout=pipe, text=True)
        self.zygotes[name] = zygote
        return zygote

    def close(self) -> None:
        """End the zygotes; they end too when whoever began them is gone."""
        for zygote in self.zygotes.values():
            assert zygote.stdin is not None
            zygote.stdin.close()
            zygote.wait(timeout=_END_S)
        for file in self.folder.glob("*"):
            file.unlink()
        self.folder.rmdir()
