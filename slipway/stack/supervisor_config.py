"""The stack's parts as a configuration file for supervisord."""

import os
import pwd
import resource
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from slipway.errors import InvalidInput
from slipway.stack.part import HOME_MARK, PART_MARK, Part
from slipway.stack.stack import Stack

_LOG_BYTES: Final = 10 * 1024 * 1024
_WANTED_FILES: Final = 16_384


def socket_path(stack: Stack) -> Path:
    """Where supervisord takes commands."""
    return stack.layout.sockets / "supervisor.sock"


def pid_path(stack: Stack) -> Path:
    """Where supervisord notes its process id."""
    return stack.layout.sockets / "supervisord.pid"


def render(stack: Stack) -> str:
    """The whole configuration file."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    daemon = {
        "logfile": stack.layout.log("supervisord"),
        "logfile_maxbytes": _LOG_BYTES,
        "logfile_backups": 1,
        "pidfile": pid_path(stack),
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "minfds": _WANTED_FILES if hard_limit < 0 else min(hard_limit, _WANTED_FILES),
        "umask": "022",
    }
    sections = [
        _section("supervisord", daemon),
        _section("unix_http_server", {"file": socket_path(stack), "chmod": "0700"}),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        *(_program(part, stack) for part in stack.parts),
    ]
    return "\n".join(sections)


def _program(part: Part, stack: Stack) -> str:
    marks = {HOME_MARK: str(stack.layout.home), PART_MARK: part.name}
    # Compiled modules are kept even where the caller's shell forbids it: imports are most of a start.
    python = {"PYTHONDONTWRITEBYTECODE": ""} if part.command[0] == sys.executable else {}
    values: dict[str, object] = {
        "command": _escape(shlex.join(part.command)),
        "directory": part.directory,
        "environment": _environment({**python, **part.environment, **marks}),
        # `up` starts parts in order; supervisord only keeps them alive.
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 1,
        # Each retry waits a second longer than the last: a part outlives minutes without its database.
        "startretries": 100,
        "stopsignal": part.stop_signal,
        "stopwaitsecs": part.stop_wait_s,
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": stack.layout.log(part.name),
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": 2,
    }
    if part.user:
        values["user"] = part.user
    return _section(f"program:{part.name}", values)


def _section(name: str, values: Mapping[str, object]) -> str:
    return "\n".join((f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""))


def _environment(values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if '"' in value or "\\" in value or "\n" in value:
            raise InvalidInput(
                f"{name}={value!r} holds a quote, backslash or line break; supervisord cannot pass it"
            )
    return ",".join(f'{name}="{_escape(value)}"' for name, value in sorted(values.items()))


def _escape(text: str) -> str:
    return text.replace("%", "%%")
