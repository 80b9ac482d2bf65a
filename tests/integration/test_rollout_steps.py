"""Steps of every kind, their gates and the commands of operators, on the real Kafka and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import orjson
import pytest

from services.rollout.domain.position import Position, fold
from services.rollout.messages import to_routes
from services.rollout.rows import Profiles, entry_of, spec_of
from slipway.v1.rollout_pb2 import RouteTable
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration

STEPS = "steps: [{weight_percent: 10, min_rows: 20}, {weight_percent: 50, min_rows: 20}]"
SHADOW = "steps: [{kind: shadow, mirror_percent: 20, min_rows: 1000}, {weight_percent: 10, min_rows: 20}]"
CONTEST = (
    "steps: [{kind: ab, weight_percent: 50, metric: error_rate, better: lower, "
    "min_samples: 40, min_rows: 20}, {kind: blue_green}]"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("rollout")) as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


def roles(table: RouteTable) -> dict[str, tuple[str, int]]:
    return {arm.version: (arm.role, arm.weight_ppm) for arm in table.arms}


async def with_steps(it: Bench, steps: str, *, more: str = "") -> Any:
    """Version 1 is champion, and the spec has these steps."""
    await it.promote_first()
    assert STEPS in it.yaml()
    return await it.apply(it.yaml().replace(STEPS, steps + more))


async def explained(it: Bench, words: str) -> Any:
    """The status as soon as its explanation has these words."""

    async def check() -> Any:
        status = await it.status()
        return status if words in status.explanation else None

    return await until(f"{it.model} to say {words!r}", check)


async def test_from_a_shadow_over_a_canary_to_all_requests_by_hand(it: Bench) -> None:
    await with_steps(it, SHADOW)
    await it.start("2")
    status = await it.reaches("SHADOW")
    shadow = next(arm for arm in status.routes.arms if arm.role == "shadow")
    assert (shadow.version, shadow.weight_ppm, shadow.mirror_ppm) == ("2", 0, 200_000)
    assert shadow.max_mirrored_per_s == 50
    assert roles(status.routes)["1"] == ("champion", 1_000_000)
    assert (status.step.kind, status.step.index, status.step.steps) == ("shadow", 0, 2)
    assert [line.name for line in status.step.findings][:1] == ["health"]
    assert (status.events[0].step, status.events[0].trigger) == (0, "ready_shadow")
    await it.command("Promote", reason="seen enough")
    status = await it.reaches("BAKE")
    assert roles(status.routes) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}
    assert status.events[0].reason == "seen enough"
    await it.command("Promote")
    status = await it.reaches("DONE", after_seq=status.events[0].seq)
    assert (status.state, status.promoted) == ("IDLE", 2)
    with pytest.raises(grpc.aio.AioRpcError, match="nothing to promote"):
        await it.command("Promote")


async def test_a_paused_step_does_not_go_on_and_resume_lets_it(it: Bench) -> None:
    await it.promote_first()
    await it.start("2")
    status = await it.reaches("CANARY")
    paused = await it.command("Pause", reason="odd curve")
    assert paused.step.closed_by == "paused by anna: odd curve"
    seq = (await it.command("Pause")).routes.epoch
    assert seq == paused.routes.epoch
    await it.pass_step(paused)
    status = await explained(it, "hold: paused by anna: odd curve; 20 of 20 rows")
    assert (status.state, status.step.outcome) == ("CANARY", "hold")
    await it.command("Resume")
    status = await it.reaches("CANARY", after_seq=status.events[0].seq + 1)
    assert (status.step.index, roles(status.routes)["2"]) == (1, ("canary", 500_000))
    await it.abort()


async def test_harm_takes_a_paused_version_back(it: Bench) -> None:
    await it.promote_first()
    await it.start("2")
    await it.reaches("CANARY")
    paused = await it.command("Pause")
    await it.fail(5, version="2", epoch=paused.routes.epoch)
    status = await it.reaches("ABORTED")
    assert status.events[0].trigger == "guard_failed"
    findings = orjson.loads(status.events[0].evidence)["findings"]
    assert findings[0]["standing"] == "harm"


async def test_a_paused_version_that_cannot_be_loaded_is_given_up(it: Bench) -> None:
    await it.promote_first()
    it.replicas.states[it.model, "2"] = ("LOADING", "")
    await it.start("2")
    await it.command("Pause")
    it.replicas.states[it.model, "2"] = ("FAILED", "out of memory")
    status = await it.reaches("ABORTED")
    assert "out of memory" in status.events[0].reason


async def test_an_approval_needs_its_role_and_a_promotion_does_not_go_past_it(it: Bench) -> None:
    await with_steps(it, "steps: [{weight_percent: 10, min_rows: 0, approval: owner}]")
    await it.start("2")
    status = await explained(it, "waits for the approval of 'owner'")
    assert (status.step.approval_role, status.step.approved_by) == ("owner", "")
    for verb in ("Approve", "Promote"):
        with pytest.raises(grpc.aio.AioRpcError, match="'owner'") as refusal:
            await it.command(verb)
        assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert (await it.status()).state == "CANARY"
    await it.rollback()
    with pytest.raises(grpc.aio.AioRpcError, match="no step is under way"):
        await it.command("Approve")


async def test_a_freeze_window_holds_until_it_ends(it: Bench) -> None:
    began = datetime.now(UTC) - timedelta(minutes=30)
    freeze = f"\n  freeze: [{{name: now, start: '{began:%H:%M}', minutes: 120}}]"
    await with_steps(it, "steps: [{weight_percent: 10, min_rows: 0}]", more=freeze)
    await it.start("2")
    status = await explained(it, "freeze window 'now'; warming")
    assert status.state == "WARMING"
    await it.abort()


async def test_a_spec_changed_meanwhile_is_for_the_next_rollout(it: Bench) -> None:
    await it.promote_first()
    await it.start("2")
    status = await it.reaches("CANARY")
    await it.apply(it.yaml().replace(STEPS, "steps: []"))
    it.service.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    status = await it.status()
    assert (status.spec.revision, status.step.steps) == (2, 2)
    await it.pass_step(status)
    status = await it.reaches("CANARY", after_seq=status.events[0].seq)
    assert roles(status.routes)["2"] == ("canary", 500_000)
    await it.abort()
    await it.start("3")
    status = await it.reaches("BAKE")
    assert status.events[0].trigger == "ready_full"
    await it.abort()


async def test_a_recent_champion_comes_back_without_steps(it: Bench) -> None:
    await with_steps(it, "steps: []")
    await it.start("2")
    await it.reaches("BAKE")
    await it.command("Promote")
    await it.apply(it.yaml().replace(STEPS, f"{STEPS}\n  rollback_window: 1"))
    await it.start("1")
    status = await it.reaches("BAKE")
    assert "it was champion lately (rollback_window 1)" in status.events[0].reason
    await it.command("Promote")
    await it.start("3")
    assert (await it.reaches("CANARY")).version == "3"
    await it.abort()


async def test_the_better_of_two_new_versions_wins(it: Bench) -> None:
    await with_steps(it, CONTEST)
    it.replicas.states[it.model, "3"] = ("LOADING", "")
    status = await it.start("2", rivals=("3",))
    assert roles(status.routes) == {"1": ("champion", 1_000_000), "2": ("warming", 0), "3": ("warming", 0)}
    it.replicas.states[it.model, "3"] = ("READY", "")
    status = await it.reaches("AB")
    arms = [(arm.version, arm.role, arm.weight_ppm) for arm in status.routes.arms]
    assert arms == [("2", "canary", 250_000), ("3", "rival", 250_000), ("1", "champion", 500_000)]
    epoch = status.routes.epoch
    for version, failures in (("1", 20), ("2", 15), ("3", 0)):
        await it.serve(60 - failures, version=version, epoch=epoch)
        await it.fail(failures, version=version, epoch=epoch)
    status = await it.reaches("BAKE")
    assert status.version == "3"
    assert "version 3 is better: error_rate, lower is better" in status.events[0].reason
    assert roles(status.routes) == {"3": ("champion", 1_000_000), "1": ("standby", 0)}
    await it.abort()
    assert roles((await it.status()).routes) == {"1": ("champion", 1_000_000)}


async def test_a_contest_that_shows_nothing_promotes_nobody(it: Bench) -> None:
    await with_steps(it, CONTEST)
    await it.start("2", rivals=("3",))
    status = await it.reaches("AB")
    for version in ("1", "2", "3"):
        await it.fail(4, version=version, epoch=status.routes.epoch)
        await it.serve(40, version=version, epoch=status.routes.epoch)
    status = await it.reaches("ABORTED")
    assert status.events[0].trigger in ("no_winner", "guard_failed")
    assert roles(status.routes) == {"1": ("champion", 1_000_000)}


async def test_rivals_need_a_step_that_compares_them(it: Bench) -> None:
    await it.promote_first()
    with pytest.raises(grpc.aio.AioRpcError, match="the spec has none") as refusal:
        await it.start("2", rivals=("3",))
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await it.status()).state == "IDLE"


LIVE = {
    "WARMING": STEPS,
    "SHADOW": SHADOW,
    "CANARY": STEPS,
    "AB": CONTEST,
    "BAKE": "steps: []",
}


@pytest.mark.parametrize("is_paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("state", LIVE)
async def test_an_abort_ends_every_live_state(it: Bench, state: str, is_paused: bool) -> None:
    await with_steps(it, LIVE[state])
    if state == "WARMING":
        it.replicas.states[it.model, "2"] = ("LOADING", "")
    await it.start("2")
    await it.reaches(state)
    if is_paused:
        await it.command("Pause")
    status = await it.abort()
    assert (status.state, roles(status.routes)) == ("IDLE", {"1": ("champion", 1_000_000)})
    again = await it.abort()
    assert again.routes.epoch == status.routes.epoch


async def test_what_was_promoted_and_is_not_served_is_reported(it: Bench) -> None:
    await with_steps(it, "steps: []")
    await it.start("2")
    await it.reaches("BAKE")
    await it.command("Promote")
    other = it.replicas.states[it.model, "3"] = ("READY", "")
    assert other == ("READY", "")
    it.replicas.states[it.model, "1"] = ("FAILED", "the node is gone")
    await it.rollback()

    async def reported() -> bool:
        return (
            f"of {it.model} must wait: version 1 is champion and does not answer"
            in it.service.log.read_text()
        )

    await until("the mismatch to be reported", reported)


async def test_the_log_alone_leads_to_the_same_place_and_the_same_bytes(it: Bench) -> None:
    await with_steps(it, CONTEST)
    await it.start("2", rivals=("3",))
    await it.reaches("AB")
    await it.command("Pause", reason="look")
    await it.command("Resume")
    status = await it.status()
    first, again = await _replayed(it), await _replayed(it)
    assert first == again
    table = await it.published(status.routes.epoch)
    spec = spec_of(await it.database.fetchrow("SELECT * FROM model_specs WHERE model = $1", it.model))
    at_s = table.written_at.ToMicroseconds() / 1e6
    profiles = {arm.version: Profiles(reference=arm.profile.SerializeToString()) for arm in table.arms}
    made = to_routes(spec, first, profiles=profiles, written_at_s=at_s)
    assert made.SerializeToString(deterministic=True) == table.SerializeToString(deterministic=True)
    it.service.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    after = (await it.status()).routes
    assert after.SerializeToString(deterministic=True) == table.SerializeToString(deterministic=True)
    await it.abort()


async def _replayed(it: Bench) -> Position:
    rows = await it.database.fetch("SELECT * FROM rollout_log WHERE model = $1 ORDER BY seq", it.model)
    return fold(entry_of({**row, "evidence": orjson.loads(row["evidence"])}) for row in rows)
