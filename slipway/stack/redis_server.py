"""Valkey or Redis from Debian's package: answers that all gateways share, in bounded memory, kept nowhere."""

import asyncio
import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from slipway.errors import Unavailable
from slipway.stack.credentials import REDIS_GATEWAY_PASSWORD, REDIS_PASSWORD, read_secret
from slipway.stack.layout import DEPLOY, Layout
from slipway.stack.part import Part, Requirement
from slipway.stack.readiness import LOOPBACK

NAME: Final = "redis"
MAX_MEMORY_MB: Final = 64
# Both speak the same protocol; which one a release carries is a matter of its licence.
_BINARIES: Final = ("valkey-server", "redis-server")
_PACKAGE: Final = "redis-server, or valkey-server where the release has it"
_TIMEOUT_S: Final = 1.5


def redis_part(layout: Layout, ports: Mapping[str, int]) -> Part:
    """The shared cache: loopback only, behind a password, without persistence."""
    binary = find_binary()
    config = layout.config / "redis.conf"
    user = _account(binary)

    async def prepare() -> None:
        await asyncio.to_thread(_prepare, config, layout=layout, port=ports[NAME], user=user)

    return Part(
        name=NAME,
        command=(str(binary), str(config)),
        ports={NAME: ports[NAME]},
        is_ready=lambda: answers(layout, ports),
        directory=layout.home,
        requirements=(Requirement(path=binary, package=_PACKAGE),),
        prepare=prepare,
        user=user,
    )


def find_binary() -> Path:
    """The installed server; a plausible path when there is none."""
    found = [path for name in _BINARIES if (path := shutil.which(name))]
    return Path(found[0] if found else "/usr/bin/redis-server")


def redis_url(layout: Layout, ports: Mapping[str, int]) -> str:
    """Where the cache answers, with the gateway's user and password: it reaches its own keys alone."""
    password = read_secret(layout.secrets, REDIS_GATEWAY_PASSWORD)
    return f"redis://gateway:{password}@{LOOPBACK}:{ports[NAME]}/0"


async def answers(layout: Layout, ports: Mapping[str, int]) -> bool:
    """Whether the server takes the password and answers a PING."""
    password = read_secret(layout.secrets, REDIS_PASSWORD)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            login, pong = await _ask(ports[NAME], password)
    except (OSError, TimeoutError):
        return False
    if login.startswith((b"-WRONGPASS", b"-ERR")):
        raise Unavailable(
            f"the server on port {ports[NAME]} refuses the password in {layout.secrets}: "
            "is it another stack's? end it, or move this one with SLIPWAY_PORT_REDIS"
        )
    return pong.startswith(b"+PONG")


async def _ask(port: int, password: str) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(f"AUTH {password}\r\nPING\r\n".encode())
        await writer.drain()
        return await reader.readline(), await reader.readline()
    finally:
        writer.close()


def render_config(*, port: int, password: str, gateway_password: str, data_dir: Path) -> str:
    """The server's configuration file; it holds the passwords, so that the command line does not."""
    return Template((DEPLOY / "redis.conf").read_text()).substitute(
        port=port,
        password=password,
        gateway_password=gateway_password,
        data_dir=data_dir,
        max_memory_mb=MAX_MEMORY_MB,
    )


def _account(binary: Path) -> str | None:
    """The package's own user where we are root and it exists."""
    user = binary.name.removesuffix("-server")
    if os.geteuid() != 0:
        return None
    return user if any(entry.pw_name == user for entry in pwd.getpwall()) else None


def _prepare(config: Path, *, layout: Layout, port: int, user: str | None) -> None:
    data = layout.data(NAME)
    data.mkdir(mode=0o700, exist_ok=True)
    text = render_config(
        port=port,
        password=read_secret(layout.secrets, REDIS_PASSWORD),
        gateway_password=read_secret(layout.secrets, REDIS_GATEWAY_PASSWORD),
        data_dir=data,
    )
    config.unlink(missing_ok=True)
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    if user:
        for path in (config, data):
            shutil.chown(path, user=user)
