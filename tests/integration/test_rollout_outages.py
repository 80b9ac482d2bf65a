"""Kafka and PostgreSQL killed in mid-step, and a leader that falls asleep."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import grpc.aio
import pytest

from services.rollout.domain.position import fold
from slipway.ports import ports
from slipway.stack.readiness import tcp_open
from slipway.stack.stack import build_stack
from slipway.stack.supervision import Supervision
from slipway.v1.rollout_pb2 import RolloutCommand
from slipway.v1.rollout_pb2_grpc import RolloutControlStub
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.rollout.held import held, restart
from tests.rollout.walker import counted, read_log
from tests.service_process import ServiceProcess, until

pytestmark = [pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("outages") / "own") as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


async def half_a_step(it: Bench) -> Any:
    """A canary that has half of the rows it needs; returns its status."""
    await it.promote_first()
    await it.start("2")
    status = await it.reaches("CANARY")
    await it.pass_step(status, rows=10)
    return status


async def other_half(it: Bench, status: Any) -> None:
    await it.pass_step(status, rows=10)
    await it.reaches("CANARY", after_seq=status.events[0].seq)
    assert await counted(it) == 20
    assert (await it.abort()).state == "IDLE"


async def kill_part(name: str, port: int) -> None:
    """kill -9 of a part of the stack; returns when its supervisor has it running again."""
    supervision = Supervision(build_stack())
    before = supervision.processes()[name].pid
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        now = await asyncio.to_thread(lambda: supervision.processes()[name].pid)
        return now not in (0, before) and await tcp_open(port)

    await until(f"{name} to be back", is_back)


async def test_kafka_killed_in_mid_step_counts_each_record_once(it: Bench) -> None:
    status = await half_a_step(it)
    await kill_part("kafka", ports()["kafka"])
    await other_half(it, status)


async def test_postgresql_killed_in_mid_step_counts_each_record_once(it: Bench) -> None:
    status = await half_a_step(it)
    await kill_part("postgres", ports()["postgres"])
    it.database.terminate()

    async def reconnected() -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            it.database = await asyncpg.connect(it.service.environment["SLIPWAY_POSTGRES_DSN"], timeout=10)
            return True
        return False

    await until("PostgreSQL to answer", reconnected)
    try:
        await other_half(it, status)
    finally:
        await it.database.close()


@asynccontextmanager
async def standby_of(it: Bench) -> AsyncIterator[tuple[ServiceProcess, Any]]:
    """A second controller, and how to speak to it; the first serves again at the end."""
    twin = it.service.twin()
    twin.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{twin.environment['SLIPWAY_GRPC_PORT']}") as channel:
            yield twin, RolloutControlStub(channel)
    finally:
        twin.kill()
        if it.service.process is None or it.service.process.poll() is not None:
            await restart(it.service)


async def takes_over(it: Bench, twin: ServiceProcess, stub: Any) -> Any:
    """Abort by the standby once it leads; returns the status."""
    await asyncio.to_thread(twin.wait_ready)
    command = RolloutCommand(model=it.model, actor="anna")
    status = await stub.Abort(command, metadata=it.metadata, timeout=10, wait_for_ready=True)
    assert [(arm.version, arm.role) for arm in status.routes.arms] == [("1", "champion")]
    return status


async def wakes_and_ends(it: Bench, status: Any) -> None:
    """The former leader finds its lease gone: it ends by itself, and nothing of it is in the log."""
    process = it.service.process
    assert process is not None
    process.send_signal(signal.SIGCONT)

    async def has_ended() -> bool:
        return process.poll() is not None

    await until("the former leader to end", has_ended)
    entries = await read_log(it)
    assert entries[-1].seq == status.events[0].seq
    assert [e.fence for e in entries][-1] > entries[-2].fence
    fold(entries)


async def test_a_leader_that_slept_cannot_write_when_it_wakes(it: Bench) -> None:
    canary = await half_a_step(it)
    async with standby_of(it) as (twin, stub):
        assert it.service.process is not None
        it.service.process.send_signal(signal.SIGSTOP)
        status = await takes_over(it, twin, stub)
        await it.fail(20, version="2", epoch=canary.routes.epoch)  # to be counted by whoever wakes
        await wakes_and_ends(it, status)


async def test_a_leader_that_falls_asleep_in_a_transaction_does_not_keep_the_standby_waiting(
    it: Bench,
) -> None:
    canary = await half_a_step(it)
    waiting = "SELECT true FROM pg_locks WHERE NOT granted AND relation = 'tallies'::regclass"
    async with standby_of(it) as (twin, stub):
        dsn = it.service.environment["SLIPWAY_POSTGRES_DSN"]
        async with held(dsn, "LOCK TABLE tallies IN SHARE MODE") as connection:
            await it.serve(1, version="2", epoch=canary.routes.epoch)
            await until("counts to be written", lambda: connection.fetchval(waiting))
            assert it.service.process is not None
            it.service.process.send_signal(signal.SIGSTOP)
        status = await takes_over(it, twin, stub)
        await wakes_and_ends(it, status)
