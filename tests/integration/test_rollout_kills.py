"""kill -9 at every transition: of the controller, and of the stores beneath it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
import grpc.aio
import orjson
import pytest

from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.position import Position, fold
from services.rollout.domain.route_table import routes_of
from services.rollout.domain.state_machine import TABLE, Trigger
from services.rollout.rows import entry_of
from slipway.ports import ports
from slipway.stack.readiness import tcp_open
from slipway.stack.stack import build_stack
from slipway.stack.supervision import Supervision
from slipway.v1.rollout_pb2 import RolloutCommand, RouteTable
from slipway.v1.rollout_pb2_grpc import RolloutControlStub
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.rollout.walks import KIND_OF, VERBS, Stop, Walk, find_walks, rollouts_of, unreachable
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration

WALKS = find_walks()
HASTE_S = 5.0  # a deadline that is meant to pass; any other is far away
SPEC = """
name: {name}
task: binary
features: [{{name: a}}, {{name: b}}]
label: {{name: y, classes: ["0", "1"]}}
rollout:
  steps: [{steps}]
  bake_rows: {rows}
  warm_deadline_s: {warm_deadline_s}
  deadline_s: {deadline_s}
"""
STEP = {
    "canary": "{{weight_percent: {percent}, min_rows: {rows}}}",
    "shadow": "{{kind: shadow, min_rows: {rows}, max_mirrored_per_s: 1000}}",
    "ab": "{{kind: ab, weight_percent: 50, min_rows: {rows}, min_samples: 20, "
    "metric: error_rate, better: lower}}",
}
FEW, MANY = 4, 40  # rows of a step that is meant to pass, and of one that is not


def name_of(walk: Walk) -> str:
    return "-".join(str(stop) for stop in walk if stop.is_new)


def test_the_walks_take_every_row_of_the_table() -> None:
    taken = {(stop.state, stop.trigger) for walk in WALKS for stop in walk}
    assert taken == {row for row in TABLE if not unreachable(row)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("kills") / "own") as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


async def restart(service: ServiceProcess) -> None:
    service.start()
    await asyncio.to_thread(service.wait_ready)


async def read_log(it: Bench) -> list[LogEntry]:
    rows = await it.database.fetch("SELECT * FROM rollout_log WHERE model = $1 ORDER BY seq", it.model)
    return [entry_of({**row, "evidence": orjson.loads(row["evidence"])}) for row in rows]


async def count_entries(it: Bench) -> int:
    return int(await it.database.fetchval("SELECT count(*) FROM rollout_log WHERE model = $1", it.model))


async def counted(it: Bench) -> int:
    """Requests in the tally of the latest rollout."""
    text = await it.database.fetchval("SELECT counts FROM tallies WHERE model = $1", it.model)
    counts = orjson.loads(text)
    return int(counts["canary"]["requests"] + counts["champion"]["requests"])


@asynccontextmanager
async def held(dsn: str, statement: str) -> AsyncIterator[asyncpg.Connection]:
    """Something in the database, in the way of the controller."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(statement, timeout=30)
            yield connection
    finally:
        await connection.close()


COMMITS = "LOCK TABLE rollout_log IN SHARE MODE"  # what was decided cannot be written
SHIPPING = "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.outbox'))"
STOPPED_AT_COMMIT = "SELECT true FROM pg_locks WHERE NOT granted AND relation = 'rollout_log'::regclass"


@dataclass(kw_only=True)
class Walker:
    """Takes one model along a walk, and kills the controller at each transition that is new."""

    it: Bench
    walk: Walk
    taken: list[Stop] = field(default_factory=list)
    version: int = 0  # the newest that was started
    ahead: int = 0

    async def go(self) -> None:
        begins = {id(part[0]): part for part in rollouts_of(self.walk)}
        for stop in self.walk:
            if part := begins.get(id(stop)):
                await self._prepare(part)
            await (self._take_under_fire(stop) if stop.is_new else self._take(stop))
            await self.check()

    async def _prepare(self, rollout: Walk) -> None:
        """The spec and the replicas that let this rollout go this way."""
        triggers = [stop.trigger for stop in rollout]
        if rollout[0].trigger is Trigger.START:
            self.version += 1
            self.it.replicas.states[self.it.model, str(self.version)] = ("LOADING", "")
        else:
            former = fold(await read_log(self.it)).previous[-1]
            self.it.replicas.states[self.it.model, former.version] = ("LOADING", "")
        rows = MANY if Trigger.GUARD_FAILED in triggers else FEW
        kinds = [KIND_OF[trigger] for trigger in triggers if trigger in KIND_OF]
        if not kinds and Trigger.READY_FULL not in triggers:
            kinds = ["canary"]
        steps = ", ".join(STEP[kind].format(percent=50 + n, rows=rows) for n, kind in enumerate(kinds))
        is_late_warm = any(s.trigger is Trigger.DEADLINE and s.state == "WARMING" for s in rollout)
        is_late = Trigger.DEADLINE in triggers and not is_late_warm
        text = SPEC.format(
            name=self.it.model,
            steps=steps,
            rows=rows,
            warm_deadline_s=HASTE_S if is_late_warm else 600,
            deadline_s=HASTE_S if is_late else 600,
        )
        await self.it.apply(text)

    async def _take(self, stop: Stop) -> None:
        await self._cause(stop)
        await self._is_taken(stop)

    async def _is_taken(self, stop: Stop) -> None:
        async def check() -> bool:
            return await count_entries(self.it) > len(self.taken)

        await until(f"{stop} to be in the log", check, seen=lambda: list(map(str, self.taken)))
        self.taken.append(stop)

    async def _take_under_fire(self, stop: Stop) -> None:
        """Killed when it is decided and not committed, and again when it is committed and not published."""
        service, dsn = self.it.service, self.it.service.environment["SLIPWAY_POSTGRES_DSN"]
        async with held(dsn, SHIPPING):
            async with held(dsn, COMMITS) as connection:
                causing = asyncio.create_task(self._cause(stop))
                await until(f"{stop} to be decided", lambda: connection.fetchval(STOPPED_AT_COMMIT))
                service.kill()
                await causing
            assert await count_entries(self.it) == len(self.taken), f"{stop} was written by a dead process"
            service.start()
            repeating = asyncio.create_task(self._repeat(stop))
            await self._is_taken(stop)
            service.kill()
            await repeating
        await restart(service)

    async def _repeat(self, stop: Stop) -> None:
        """Whoever has given a command and got no answer gives it again; all else is still there."""
        if stop.trigger in COMMANDS:
            await asyncio.to_thread(self._wait_ready_or_dead)
            await self._cause(stop)

    def _wait_ready_or_dead(self) -> None:
        with suppress(AssertionError):
            self.it.service.wait_ready()

    async def _cause(self, stop: Stop) -> None:
        if command := COMMANDS.get(stop.trigger):
            with suppress(grpc.aio.AioRpcError):
                await command(self)
        elif stop.trigger is Trigger.RECONCILE:
            await self._publish_table_ahead()
        elif stop.trigger is not Trigger.DEADLINE:
            await self._move_by_itself(stop)

    async def _move_by_itself(self, stop: Stop) -> None:
        position = fold(await read_log(self.it))
        assert position.subject is not None
        version = position.subject.version
        if stop.state == "WARMING":
            is_failed = stop.trigger is Trigger.WARM_FAILED
            state = ("FAILED", "no ONNX") if is_failed else ("READY", "")
            self.it.replicas.states[self.it.model, version] = state
        elif stop.trigger is Trigger.GUARD_FAILED:
            await self._harm(stop, version=version, epoch=position.epoch)
        else:
            await self._feed(stop, position)

    async def _harm(self, stop: Stop, *, version: str, epoch: int) -> None:
        """As few failures as are enough."""
        if stop.state == "SHADOW":
            await self.it.shadow(5, version=version, epoch=epoch, code="INTERNAL")
        else:
            await self.it.fail(3 if stop.state == "BAKE" else 5, version=version, epoch=epoch)

    async def _feed(self, stop: Stop, position: Position) -> None:
        """Requests for both arms, so that the step is passed; or not, where no version is to win."""
        serving = [arm.version.version for arm in routes_of(position).arms if arm.weight_ppm]
        epoch = position.epoch
        if stop.state == "SHADOW":
            assert position.subject is not None
            await self.it.shadow(FEW, version=position.subject.version, epoch=epoch)
        elif stop.state == "AB":
            worse = 0 if stop.trigger == "no_winner" else 18
            await self.it.fail(worse, version=serving[-1], epoch=epoch)
            await self.it.serve(20 - worse, version=serving[-1], epoch=epoch)
            await self.it.serve(20, version=serving[0], epoch=epoch)
        else:
            await self.it.serve(FEW // 2, version=serving[0], epoch=epoch)
            await self.it.serve(FEW - FEW // 2, version=serving[-1], epoch=epoch)

    async def _publish_table_ahead(self) -> None:
        """A table that no log has led to is found at the next start."""
        self.ahead = (await read_log(self.it))[-1].epoch + 1000
        await self.it._publish("routes", RouteTable(model=self.it.model, epoch=self.ahead), key=self.it.model)
        self.it.service.kill()
        self.it.service.start()

    async def start(self) -> None:
        await self.it.start(str(self.version))

    async def check(self) -> None:
        """One legal log as planned, its routes on Kafka, each record counted once."""
        entries = await read_log(self.it)
        assert [(e.from_state, e.trigger) for e in entries] == [(s.state, s.trigger) for s in self.taken]
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.fence for entry in entries] == sorted(entry.fence for entry in entries)
        position = fold(entries)  # raises where an entry does not follow
        assert arms_of_log(position) == arms_of_table(await self.it.published(position.epoch))
        await self._check_counts(entries)

    async def _check_counts(self, entries: list[LogEntry]) -> None:
        if entries[-1].trigger in (Trigger.START, Trigger.RESTORE):
            self.it.recorded = 0
        recorded = self.it.recorded

        async def check() -> bool:
            found = await counted(self.it)
            assert found <= recorded, f"{found} counted, {recorded} recorded"
            return found == recorded

        await until(f"{recorded} records to be counted", check)

    async def finish(self) -> None:
        """Every transition was told, once each but for copies; then the model rests."""

        async def told() -> bool:
            await self.it.collect()
            return {event.seq for event in self.it.events} == set(range(1, len(self.taken) + 1))

        await until("every event on Kafka", told, seen=lambda: sorted(e.seq for e in self.it.events))
        by_seq = {event.seq: event.trigger for event in self.it.events}
        assert [by_seq[seq] for seq in sorted(by_seq)] == [stop.trigger for stop in self.taken]
        await self.it.abort()


def arms_of_log(position: Position) -> list[tuple[str, str, int]]:
    return [(arm.version.version, arm.role, arm.weight_ppm) for arm in routes_of(position).arms]


def arms_of_table(table: RouteTable) -> list[tuple[str, str, int]]:
    return [(arm.version, arm.role, arm.weight_ppm) for arm in table.arms]


def say(verb: str) -> Callable[[Walker], Any]:
    """A verb as an operator gives it."""

    async def command(walker: Walker) -> None:
        it = walker.it
        method = getattr(it.stub, verb.capitalize())
        request = RolloutCommand(model=it.model, actor="anna", reason="a test")
        await method(request, metadata=it.metadata, timeout=15, wait_for_ready=True)

    return command


COMMANDS: dict[str, Callable[[Walker], Any]] = {
    Trigger.START: Walker.start,
    Trigger.ABORT: say("abort"),
    Trigger.ROLLBACK: say("rollback"),
    Trigger.RESTORE: say("rollback"),
    **{verb: say(verb) for verb in VERBS},
}


@pytest.mark.parametrize("walk", WALKS, ids=name_of)
async def test_killed_at_each_transition_it_goes_on_where_it_stood(it: Bench, walk: Walk) -> None:
    walker = Walker(it=it, walk=walk)
    await walker.go()
    await walker.finish()


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
