"""The local stack as `./scripts/test` has started it."""

import asyncio
import ipaddress
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from slipway.kafka_access import client_options
from slipway.ports import ports
from slipway.stack.bring_up import bring_up, choose_parts
from slipway.stack.environment import service_environment
from slipway.stack.layout import REPOSITORY
from slipway.stack.processes import find_ours
from slipway.stack.role_provision import SERVICE_ROLES
from slipway.stack.stack import Stack, build_stack
from slipway.stack.stack_status import PartStatus, stack_status
from slipway.stack.starting import Progress
from slipway.stack.supervision import Supervision
from slipway.topics import TOPICS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack() -> Stack:
    stack = build_stack()
    if not Supervision(stack).is_running():
        pytest.fail("the stack is not running: start it with `slipway up`")
    return stack


def slipway(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(REPOSITORY / ".venv" / "bin" / "slipway"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_up_twice_starts_nothing(stack: Stack) -> None:
    before = {row.name: row.pid for row in stack_status(stack)}
    done = slipway("up")
    assert done.returncode == 0, done.stderr
    assert {row.name: row.pid for row in stack_status(stack)} == before


def test_nothing_listens_outside_loopback(stack: Stack) -> None:
    ours = {process.pid for process in find_ours(stack.layout.home)}
    outside = [
        (connection.laddr, psutil.Process(connection.pid).cmdline()[:3])
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.pid in ours
        and not is_loopback(connection.laddr.ip)
    ]
    assert outside == []


def is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


async def test_every_topic_exists() -> None:
    admin = AIOKafkaAdminClient(**client_options(os.environ["SLIPWAY_KAFKA_BOOTSTRAP"]))
    await admin.start()
    try:
        assert {topic.name for topic in TOPICS} <= set(await admin.list_topics())
    finally:
        await admin.close()


@pytest.mark.parametrize("role", SERVICE_ROLES)
async def test_a_role_works_in_its_own_schema_and_no_other(role: str) -> None:
    connection = await asyncpg.connect(service_environment(role)["SLIPWAY_POSTGRES_DSN"], timeout=5)
    try:
        assert await connection.fetchval("SHOW search_path") == role
        for other in set(SERVICE_ROLES) - {role}:
            assert not await connection.fetchval("SELECT has_schema_privilege($1, 'USAGE')", other)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE {other}.intruder (id int)")
    finally:
        await connection.close()


def test_secrets_are_readable_by_the_owner_alone(stack: Stack) -> None:
    assert stack.layout.secrets.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in stack.layout.secrets.iterdir())


def test_a_killed_part_comes_back(stack: Stack) -> None:
    victim = next(row for row in stack_status(stack) if row.name == "prometheus")
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    again = wait_for_ready(stack, "prometheus", other_than=victim.pid)
    assert again.restarts == victim.restarts + 1


def wait_for_ready(stack: Stack, name: str, *, other_than: int, deadline_s: float = 60) -> PartStatus:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        row = next(row for row in stack_status(stack) if row.name == name)
        if row.state == "ready" and row.pid != other_than:
            return row
        # A process outside is waited for: there is no clock to turn.
        time.sleep(0.3)
    raise AssertionError(f"{name} did not come back within {deadline_s} s")


def test_a_port_that_is_taken_is_named_with_its_holder(stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(REPOSITORY / ".venv" / "bin" / "slipway"), "up", "prometheus"],
        env={**os.environ, "SLIPWAY_HOME": str(tmp_path / "other")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"prometheus wants port {ports()['prometheus']} (prometheus), held by" in done.stderr
    assert find_ours(tmp_path / "other") == []


def test_a_stranger_on_a_port_that_gateways_share_is_named() -> None:
    port = ports()["gateway_admin"]
    with socket.create_server(("127.0.0.1", port), reuse_port=True):
        done = slipway("up", "gateway")
    assert done.returncode == 1
    assert f"gateway wants port {port} (gateway_admin), held by" in done.stderr
    assert f"(pid {os.getpid()}," in done.stderr
    assert slipway("up", "gateway").returncode == 0


def test_bringing_up_what_is_ready_reports_only_that_it_was_running(stack: Stack) -> None:
    steps: list[Progress] = []
    bring_up(stack, choose_parts(stack, ()), report=steps.append)
    assert all(step.was_running for step in steps)


def test_probes_answer_within_two_seconds(stack: Stack) -> None:
    async def probe_all() -> list[bool]:
        return await asyncio.wait_for(asyncio.gather(*(part.is_ready() for part in stack.parts)), timeout=2.0)

    assert len(asyncio.run(probe_all())) == len(stack.parts)
