"""Talks to supervisord: starts the daemon, starts and stops parts, tells their state."""

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import SupervisorTransport

from slipway.errors import Unavailable
from slipway.stack.part import HOME_MARK
from slipway.stack.stack import Stack
from slipway.stack.supervisor_config import render, socket_path

_DAEMON_DEADLINE_S: Final = 10.0
# What a part may inherit from the caller's shell. Proxies, for one, would break calls over loopback.
_INHERITED: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "JAVA_HOME")
_INHERITED_PREFIXES: Final = ("SLIPWAY_", "CUDA_", "NVIDIA_", "LD_LIBRARY_PATH")


class ProcessState(StrEnum):
    """supervisord's names for where a process stands."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


ALIVE: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """What supervisord knows of one part."""

    name: str
    state: ProcessState
    pid: int
    started_at_s: int
    explanation: str


class Supervision:
    """A connection to the supervisord of one stack. Not for use by several threads at once."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._socket = socket_path(stack)

    def is_running(self) -> bool:
        """Whether the daemon answers."""
        try:
            self._call("getState")
        except Unavailable:
            return False
        return True

    def start_daemon(self) -> None:
        """Write the configuration and start supervisord, which starts no part yet.

        Raises:
            Unavailable: The daemon does not come up.
        """
        config = self._write_config()
        command = (sys.executable, "-m", "supervisor.supervisord", "-c", str(config))
        environ = {**inherited_environment(os.environ), HOME_MARK: str(self._stack.layout.home)}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)  # noqa: S603
        deadline = time.monotonic() + _DAEMON_DEADLINE_S
        while not self.is_running():
            if done.returncode or time.monotonic() > deadline:
                raise Unavailable(
                    f"supervisord does not start: {(done.stdout + done.stderr).strip() or 'no answer'}; "
                    f"see {self._stack.layout.log('supervisord')}"
                )
            time.sleep(0.05)

    def refresh(self) -> None:
        """Apply a changed configuration to the running daemon: changed parts stop and are replaced."""
        added, changed, removed = self._reload()
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)

    def refresh_stopped(self, name: str) -> None:
        """Apply a changed configuration to one part, which does not run; the others keep theirs."""
        added, changed, _ = self._reload()
        if name in changed:
            self._call("removeProcessGroup", name)
        if name in (*added, *changed):
            self._call("addProcessGroup", name)

    def start(self, name: str) -> None:
        """Start one part without waiting for it."""
        if self.processes()[name].state is ProcessState.BACKOFF:
            # Between two retries: supervisord counts that as started, and would refuse.
            self._call("stopProcess", name)
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Ask one part to stop without waiting for it."""
        self._call("stopProcess", name, False)

    def hurry(self, name: str) -> None:
        """Tell a part that is stopping a second time; one that has stopped meanwhile needs no telling."""
        with suppress(Unavailable):
            self._call("signalProcess", name, "TERM")

    def alive(self) -> dict[str, int]:
        """The parts that run or start, with their process ids."""
        return {name: info.pid for name, info in self.processes().items() if info.state in ALIVE}

    def processes(self) -> Mapping[str, ProcessInfo]:
        """Every part that supervisord knows, by name."""
        return {row["name"]: _info(row) for row in self._call("getAllProcessInfo")}

    def daemon_pid(self) -> int:
        """The process id of supervisord."""
        return int(self._call("getPID"))

    def shut_down(self) -> None:
        """End supervisord and whatever it still runs."""
        self._call("shutdown")

    def _reload(self) -> tuple[list[str], list[str], list[str]]:
        """What of the configuration is added, changed and removed against that in force."""
        self._write_config()
        added, changed, removed = self._call("reloadConfig")[0]
        return added, changed, removed

    def _write_config(self) -> Path:
        config = self._stack.layout.config / "supervisord.conf"
        config.touch(mode=0o600)
        config.chmod(0o600)
        config.write_text(render(self._stack))
        return config

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise Unavailable(f"supervisord refuses {method}{arguments}: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.Error) as error:
            raise Unavailable(f"supervisord does not answer on {self._socket}: {error}") from error
        finally:
            transport.close()


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The few variables of the caller's shell that the stack's processes get to see."""
    return {
        name: value
        for name, value in environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def _info(row: Mapping[str, Any]) -> ProcessInfo:
    return ProcessInfo(
        name=row["name"],
        state=ProcessState(row["statename"]),
        pid=row["pid"],
        started_at_s=row["start"],
        explanation=row["spawnerr"] or row["description"],
    )
