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
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from slipway.kafka_access import client_options
from slipway.ports import ports
from slipway.stack.bring_up import bring_up, choose_parts
from slipway.stack.environment import service_environment
from slipway.stack.layout import REPOSITORY
from slipway.stack.postgres_server import admin_dsn
from slipway.stack.processes import find_ours
from slipway.stack.role_provision import SERVICE_ROLES
from slipway.stack.stack import Stack, build_stack
from slipway.stack.stack_status import PartStatus, stack_status
from slipway.stack.starting import Progress
from slipway.stack.supervision import Supervision
from slipway.topics import TOPICS

pytestmark = [pytest.mark.integration, pytest.mark.alone]


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
        readable = await connection.fetch(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'p', 'S')"
            " AND relnamespace::regnamespace::text <> $1 AND relnamespace >= 16384"
            " AND (has_schema_privilege(relnamespace, 'USAGE') OR has_table_privilege(oid, 'SELECT'))",
            role,
        )
        assert [row[0] for row in readable] == []
        for database in ("mlflow", "postgres"):
            assert not await connection.fetchval("SELECT has_database_privilege($1, 'CONNECT')", database)
    finally:
        await connection.close()


async def test_every_role_proves_itself_by_scram(stack: Stack) -> None:
    connection = await asyncpg.connect(admin_dsn(stack.layout, ports()), timeout=5)
    try:
        weak = "SELECT rolname FROM pg_authid WHERE rolcanlogin AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'"
        assert await connection.fetch(weak) == []
        methods = await connection.fetch("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
        assert {row[0] for row in methods} == {"scram-sha-256"}
        assert await connection.fetchval("SHOW unix_socket_directories") == ""
    finally:
        await connection.close()


async def test_the_gateway_reaches_its_own_keys_of_the_cache_and_nothing_else() -> None:
    async with Redis.from_url(service_environment("gateway")["SLIPWAY_REDIS_URL"], protocol=2) as client:
        name = f"slipway:test:{os.getpid()}"
        await client.set(name, b"mine", ex=10)
        assert await client.mget([name]) == [b"mine"]
        assert await client.eval("return redis.call('GET', KEYS[1])", 1, name) == b"mine"
        for forbidden in (
            client.get("another"),
            client.eval("return redis.call('GET', 'another')", 0),
            client.keys("*"),
            client.flushall(),
            client.config_get("requirepass"),
            client.acl_list(),
        ):
            with pytest.raises((NoPermissionError, ResponseError)):
                await forbidden


async def test_the_cache_refuses_whoever_has_no_password() -> None:
    async with Redis(port=ports()["redis"], protocol=2) as client:
        with pytest.raises(AuthenticationError):
            await client.ping()


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
