"""PostgreSQL from Debian's package: an own cluster with own data and port, never as root."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

import asyncpg

from slipway.errors import Unavailable
from slipway.stack.credentials import password_file, read_secret
from slipway.stack.layout import DEPLOY, Layout
from slipway.stack.part import Part, Requirement
from slipway.stack.readiness import LOOPBACK
from slipway.stack.role_provision import provision_roles

NAME: Final = "postgres"
ADMIN: Final = "slipway_admin"
_SYSTEM_USER: Final = "postgres"
_INSTALLED: Final = Path("/usr/lib/postgresql")


def postgres_part(layout: Layout, ports: Mapping[str, int]) -> Part:
    """The database server; roles and schemas are provisioned when it answers."""
    binaries = find_binaries()
    config = layout.config / "postgresql.conf"
    data = layout.data(NAME)

    async def prepare() -> None:
        await asyncio.to_thread(_write_config, config, port=ports[NAME])
        if not (data / "PG_VERSION").exists():
            await asyncio.to_thread(_initialise, binaries / "initdb", layout=layout)

    async def provision() -> None:
        await provision_roles(admin_dsn(layout, ports), secrets=layout.secrets)

    return Part(
        name=NAME,
        command=(str(binaries / "postgres"), "-D", str(data), f"--config-file={config}"),
        ports={NAME: ports[NAME]},
        is_ready=lambda: answers(layout, ports),
        environment={"LC_ALL": "C.UTF-8"},
        directory=Path("/"),
        requirements=(Requirement(path=binaries / "initdb", package="postgresql"),),
        prepare=prepare,
        provision=provision,
        user=_SYSTEM_USER if os.geteuid() == 0 else None,
        # INT is PostgreSQL's fast shutdown: sessions are rolled back, then a clean checkpoint.
        stop_signal="INT",
        stop_wait_s=30,
    )


def find_binaries() -> Path:
    """The newest installed server's programs; a plausible path when there is none."""
    found = sorted(_INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else _INSTALLED / "15" / "bin"


def admin_dsn(layout: Layout, ports: Mapping[str, int]) -> str:
    """Where the cluster's owner connects."""
    password = read_secret(layout.secrets, password_file(ADMIN))
    return f"postgresql://{ADMIN}:{password}@{LOOPBACK}:{ports[NAME]}/postgres"


async def answers(layout: Layout, ports: Mapping[str, int]) -> bool:
    """Whether the server accepts the owner's password and runs a statement."""
    try:
        connection = await asyncpg.connect(admin_dsn(layout, ports), timeout=1.5, ssl=False)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return False
    except asyncpg.InvalidPasswordError as error:
        raise Unavailable(
            f"PostgreSQL refuses the password in {layout.secrets}: secrets and data are not of one stack; "
            "restore them together or run `slipway reset`"
        ) from error
    await connection.close()
    return True


def _write_config(target: Path, *, port: int) -> None:
    target.write_text(Template((DEPLOY / "postgresql.conf").read_text()).substitute(port=port))


def _initialise(initdb: Path, *, layout: Layout) -> None:
    data = layout.data(NAME)
    account = pwd.getpwnam(_SYSTEM_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    with tempfile.NamedTemporaryFile("w") as password:
        password.write(read_secret(layout.secrets, password_file(ADMIN)) + "\n")
        password.flush()
        data.mkdir(mode=0o700, exist_ok=True)
        for path in (password.name, data):
            os.chown(path, account.pw_uid, account.pw_gid)
        options = ("--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--username={ADMIN}")
        done = subprocess.run(  # noqa: S603
            (str(initdb), "-D", str(data), f"--pwfile={password.name}", *options),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            user=account.pw_uid if os.geteuid() == 0 else None,
            group=account.pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise Unavailable(f"initdb in {data} failed: {done.stdout.strip()[-400:]}")
