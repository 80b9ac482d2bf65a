"""The rollout service on the real Kafka and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import orjson
import pytest

from services.rollout.domain.position import fold
from services.rollout.domain.route_table import routes_of
from services.rollout.rows import entry_of
from services.rollout.store import Fenced, Store, Writer
from slipway import postgres
from slipway.errors import Conflict
from slipway.v1.rollout_pb2 import RolloutStatusRequest, RouteTable
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration
MIGRATIONS = Path(__file__).resolve().parents[2] / "services" / "rollout" / "migrations"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("rollout"), SLIPWAY_RECONCILE_S="1") as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    """A model of its own, and everything around the service."""
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


def roles(table: RouteTable) -> dict[str, tuple[str, int]]:
    return {arm.version: (arm.role, arm.weight_ppm) for arm in table.arms}


async def test_a_spec_is_stored_published_and_unchanged_the_second_time(it: Bench) -> None:
    first = await it.apply()
    assert (first.changed, first.spec.revision, first.spec.applied_by) == (True, 1, "anna")
    assert not (await it.apply()).changed
    second = await it.apply(it.yaml() + "owner: me\n")
    assert (second.changed, second.spec.revision) == (True, 2)

    async def published() -> Any:
        await it.collect()
        return list(dict.fromkeys(s.revision for s in it.specs)) == [1, 2]

    await until("both revisions", published)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("bake_rows: 20", "bake_row: 20"), "INVALID_ARGUMENT", "line 8: rollout.bake_row: unknown key"),
        (("task: binary", "task: ternary"), "INVALID_ARGUMENT", "line 3: task"),
        (("features:", "recipe: r.py\nfeatures:"), "INVALID_ARGUMENT", "was not sent"),
        (("{name: a}", "{name: c}"), "FAILED_PRECONDITION", "a new signature is a new model name"),
    ],
)
async def test_a_spec_that_cannot_be_is_refused(
    it: Bench, change: tuple[str, str], code: str, message: str
) -> None:
    await it.apply()
    with pytest.raises(grpc.aio.AioRpcError, match=message) as refusal:
        await it.apply(it.yaml().replace(*change))
    assert refusal.value.code().name == code
    assert (await it.status()).spec.revision == 1


async def test_who_asks_for_an_unknown_model_is_told_where_the_known_ones_stand(it: Bench) -> None:
    request = RolloutStatusRequest(model="no-such-model")
    with pytest.raises(
        grpc.aio.AioRpcError, match="'no-such-model' is not known; `slipway models`"
    ) as refusal:
        await it.stub.GetStatus(request, metadata=it.metadata, timeout=10)
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


async def test_nobody_without_the_token(it: Bench) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await it.stub.GetStatus(RolloutStatusRequest(model="m"), timeout=10)
    assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_first_version_waits_for_its_replicas_then_takes_everything(it: Bench) -> None:
    it.replicas.states[it.model, "1"] = ("LOADING", "")
    await it.apply()
    status = await it.start("1")
    assert (status.state, status.version) == ("WARMING", "1")
    assert roles(await it.published(1)) == {"1": ("warming", 0)}
    it.replicas.states[it.model, "1"] = ("READY", "")
    await it.reaches("DONE")
    table = await it.published(2)
    assert roles(table) == {"1": ("champion", 1_000_000)}
    assert table.arms[0].upstream == "inference"
    await it.collect()
    assert [e.to_state for e in it.events] == ["WARMING", "DONE"]


async def test_a_blessed_candidate_goes_all_the_way_on_traffic(it: Bench) -> None:
    await it.promote_first()
    await it.bless("2")
    status = await it.reaches("CANARY")
    assert roles(status.routes) == {"2": ("canary", 100_000), "1": ("champion", 900_000)}
    await it.pass_step(status)
    status = await it.reaches("CANARY", after_seq=status.events[0].seq)
    assert roles(status.routes)["2"] == ("canary", 500_000)
    assert "no evidence of harm" in status.events[0].reason
    await it.pass_step(status)
    status = await it.reaches("BAKE")
    assert roles(status.routes) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}
    await it.pass_step(status)
    status = await it.reaches("DONE", after_seq=status.events[0].seq)
    assert (status.state, status.rollouts, status.promoted, status.rolled_back) == ("IDLE", 2, 2, 0)
    assert "version 1 is warm for a rollback" in status.explanation


async def test_a_rollback_after_done_is_one_epoch_away(it: Bench) -> None:
    await test_a_blessed_candidate_goes_all_the_way_on_traffic(it)
    status = await it.rollback()
    assert roles(status.routes) == {"1": ("champion", 1_000_000)}
    assert roles(await it.published(status.routes.epoch)) == {"1": ("champion", 1_000_000)}
    with pytest.raises(grpc.aio.AioRpcError, match="no former version"):
        await it.rollback()


async def test_a_harmful_canary_is_taken_back(it: Bench) -> None:
    await it.promote_first()
    await it.start("2")
    status = await it.reaches("CANARY")
    await it.serve(5, version="1", epoch=status.routes.epoch)
    await it.fail(5, version="2", epoch=status.routes.epoch)
    status = await it.reaches("ABORTED")
    assert roles(status.routes) == {"1": ("champion", 1_000_000)}
    assert "failures" in status.events[0].reason
    assert status.rolled_back == 1


async def test_a_bake_that_fails_goes_back_by_itself(it: Bench) -> None:
    await it.promote_first()
    await it.apply(it.yaml().replace("steps: [", "steps: []  # ["))
    await it.start("2")
    status = await it.reaches("BAKE")
    await it.fail(3, version="2", epoch=status.routes.epoch)
    status = await it.reaches("ROLLED_BACK")
    assert roles(status.routes) == {"1": ("champion", 1_000_000)}


async def test_a_version_that_cannot_be_loaded_says_why(it: Bench) -> None:
    await it.promote_first()
    it.replicas.states[it.model, "2"] = ("FAILED", "the file is no ONNX")
    await it.start("2")
    status = await it.reaches("ABORTED")
    assert "the file is no ONNX" in status.events[0].reason
    assert "version 1 answers all requests" in status.explanation


async def test_nothing_lasts_forever(it: Bench) -> None:
    await it.promote_first()
    it.replicas.states[it.model, "2"] = ("LOADING", "")
    await it.apply(it.yaml(warm_deadline_s=0.5))
    await it.start("2")
    status = await it.reaches("ABORTED")
    assert "warm_deadline_s = 0.5" in status.events[0].reason
    await it.apply(it.yaml(deadline_s=0.5))
    await it.start("3")
    status = await it.reaches("ABORTED", after_seq=status.events[0].seq)
    assert "0 of 20 rows" in status.events[0].reason


async def test_the_newest_candidate_waits_for_the_live_rollout(it: Bench) -> None:
    await it.promote_first()
    await it.bless("2")
    status = await it.reaches("CANARY")
    await it.bless("3")
    await it.bless("4")

    async def waits() -> bool:
        return "version 4 waits" in (await it.status()).explanation

    await until("version 4 to wait", waits)
    await it.fail(5, version="2", epoch=status.routes.epoch)
    status = await it.reaches("CANARY", after_seq=status.events[0].seq)
    assert status.version == "4"
    rows = await it.database.fetch("SELECT version, state FROM candidates WHERE model = $1", it.model)
    assert {r["version"]: r["state"] for r in rows} == {
        "1": "STARTED",
        "2": "STARTED",
        "3": "SUPERSEDED",
        "4": "STARTED",
    }
    await it.abort()


async def test_after_an_abort_by_hand_nothing_follows_by_itself(it: Bench) -> None:
    assert (await it.promote_first()).state == "IDLE"
    seq = (await it.abort()).routes.epoch
    assert (await it.status()).routes.epoch == seq  # a no-op when idle
    await it.start("2")
    await it.start("3")
    status = await it.abort()
    assert roles(status.routes) == {"1": ("champion", 1_000_000)}
    state = await it.database.fetchval(
        "SELECT state FROM candidates WHERE model = $1 AND version = '3'", it.model
    )
    assert state == "DROPPED"
    assert "waits" not in status.explanation


async def test_a_version_is_started_once(it: Bench) -> None:
    await it.promote_first()
    with pytest.raises(grpc.aio.AioRpcError, match="the champion already"):
        await it.start("1")
    await it.start("2")
    with pytest.raises(grpc.aio.AioRpcError, match="being rolled out"):
        await it.start("2")
    await it.abort()


async def test_kill_9_between_transitions_loses_nothing_and_counts_nothing_twice(it: Bench) -> None:
    await it.promote_first()
    await it.bless("2")
    seen = 0
    for state, rows in (("CANARY", 20), ("CANARY", 20), ("BAKE", 20)):
        status = await it.reaches(state, after_seq=seen)
        seen = status.events[0].seq
        await it.pass_step(status, rows=rows // 2)
        it.service.kill()
        it.service.start()
        await asyncio.to_thread(it.service.wait_ready)
        assert roles((await it.status()).routes) == roles(status.routes)
        await it.pass_step(status, rows=rows // 2)
    status = await it.reaches("DONE", after_seq=seen)
    assert (status.promoted, status.rolled_back) == (2, 0)
    counts = orjson.loads(await it.database.fetchval("SELECT counts FROM tallies WHERE model = $1", it.model))
    # 60 records: 2 of each 10 were the canary's in two steps, all 20 in the bake
    assert (counts["canary"]["requests"], counts["champion"]["requests"]) == (28, 32)


async def test_killed_in_the_middle_of_a_batch_it_counts_each_record_once(it: Bench) -> None:
    await it.promote_first()
    await it.apply(it.yaml().replace("min_rows: 20", "min_rows: 1000"))
    await it.start("2")
    status = await it.reaches("CANARY")
    async with it.database.transaction():
        await it.database.execute("LOCK TABLE tallies IN SHARE MODE")  # counts are kept, not written
        await it.pass_step(status, rows=100)
        waiting = "SELECT true FROM pg_locks WHERE NOT granted AND relation = 'tallies'::regclass"
        await until("counts to wait", lambda: it.database.fetchval(waiting))
        it.service.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    await it.pass_step(status, rows=100)

    async def counted() -> Any:
        counts = orjson.loads(
            await it.database.fetchval("SELECT counts FROM tallies WHERE model = $1", it.model)
        )
        return counts["step_rows"] if counts["step_rows"] >= 200 else None

    assert await until("all records to be counted", counted) == 200
    await it.abort()


async def test_the_log_is_append_only_and_leads_to_the_published_table(it: Bench) -> None:
    await it.promote_first()
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await it.database.execute("DELETE FROM rollout_log WHERE model = $1", it.model)
    rows = await it.database.fetch("SELECT * FROM rollout_log WHERE model = $1 ORDER BY seq", it.model)
    routes = routes_of(fold(entry_of({**row, "evidence": {}}) for row in rows))
    table = await it.published(routes.epoch)
    assert [(a.version, a.role, a.weight_ppm) for a in table.arms] == [
        (a.version.version, a.role, a.weight_ppm) for a in routes.arms
    ]


async def test_a_standby_answers_nothing_and_takes_over(it: Bench) -> None:
    await it.promote_first()
    twin = it.service.twin()
    twin.start()
    try:

        async def follows() -> bool:
            return "waiting_for" in twin.log.read_text() or not await asyncio.to_thread(twin.is_ready)

        await until("the twin to run as a standby", follows)
        assert not twin.is_ready()
        it.service.kill()
        await asyncio.to_thread(twin.wait_ready)
    finally:
        twin.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    assert roles((await it.status()).routes) == {"1": ("champion", 1_000_000)}


async def test_without_the_lease_nothing_is_written(it: Bench) -> None:
    async with postgres.pool(it.service.environment["SLIPWAY_POSTGRES_DSN"], migrations=MIGRATIONS) as pool:
        store = Store(pool)
        fence = await pool.fetchval("SELECT fence FROM lease")
        assert await store.take_lease("an intruder", lease_s=1) is None
        old = Writer(holder="an old leader", fence=fence - 1)
        with pytest.raises(Fenced):
            await store.put_messages(old, [])
        with pytest.raises(Fenced):
            await store.renew_lease(old, lease_s=1)
        assert issubclass(Fenced, Conflict)


async def test_routes_that_vanished_from_kafka_are_published_again(it: Bench) -> None:
    status = await it.promote_first()
    await it.published(status.routes.epoch)
    ahead = RouteTable(model=it.model, epoch=1000)
    await it._publish("routes", ahead, key=it.model)
    it.service.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    table = await it.published(1001)
    assert roles(table) == {"1": ("champion", 1_000_000)}


async def test_an_old_table_that_comes_late_is_followed_by_the_one_in_force(it: Bench) -> None:
    """As a former leader publishes it that was asleep in mid-publication."""
    done = await it.promote_first()
    in_force = await it.published(done.routes.epoch)
    it.tables.clear()
    old = RouteTable()
    old.CopyFrom(in_force)
    old.epoch -= 1
    await it.put_routes(old)

    async def is_mended() -> bool:
        await it.collect()
        return bool(it.tables) and it.tables[-1] == in_force

    await until("the table in force to be the last one", is_mended)
    assert (await it.status()).events[0].seq == done.events[0].seq
