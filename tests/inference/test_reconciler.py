"""What the reconciler asks of a cluster that is kept in memory."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.inference.cluster import Deployment, HeadGone
from services.inference.domain.demand import Resources
from services.inference.domain.fleet import App, Policy
from services.inference.domain.replicas import FAILED, LOADING
from services.inference.domain.version import Version
from services.inference.handlers import Inference
from services.inference.reconciler import Reconciler
from services.inference.settings import Settings
from slipway.clock import ManualClock
from slipway.errors import InvalidInput, SlipwayError, Unavailable

V1, V2 = (Version(model="m", version=v, digest=v * 64) for v in "12")
POLICY = Policy(drain_s=10, load_deadline_s=120, retry_first_s=30, retry_limit_s=600, max_loading=4)
RESOURCES = Resources(spec_yaml="name: m", replicas=2, cpus_per_replica=0.25)
SETTINGS = Settings(
    kafka_bootstrap="",
    state_dir=Path(),
    secrets_dir=Path(),
    grpc_port=1,
    http_port=2,
    mlflow_url="",
    ray_address="",
    inference_target="host:1",
)


class MemoryCluster:
    """Applications in a dictionary; fails when told so."""

    def __init__(self) -> None:
        self.running: dict[str, Deployment] = {}
        self.failure: SlipwayError | None = None
        self.has_left = False

    async def connect(self) -> None:
        await self.apps()

    async def leave(self) -> None:
        self.has_left = True

    async def apps(self) -> Mapping[str, App]:
        if self.failure:
            raise self.failure
        return {name: App() for name in self.running}

    async def deploy(self, deployments: list[Deployment]) -> None:
        self.running.update({d.name: d for d in deployments})

    async def delete(self, name: str) -> None:
        del self.running[name]


class MemoryModels:
    """Bytes of every version, but for those with an error."""

    def __init__(self) -> None:
        self.errors: dict[Version, SlipwayError] = {}

    async def load(self, version: Version) -> bytes:
        if version in self.errors:
            raise self.errors[version]
        return b""


class MemoryTrials:
    """Every version passes, but for those with an error."""

    def __init__(self) -> None:
        self.errors: dict[Version, SlipwayError] = {}
        self.tried: list[tuple[Version, str]] = []

    async def pass_or_fail(self, version: Version, onnx: bytes, *, spec_yaml: str) -> None:
        self.tried.append((version, spec_yaml))
        if version in self.errors:
            raise self.errors[version]


class World:
    """A reconciler between memories."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cluster = MemoryCluster()
        self.models = MemoryModels()
        self.trials = MemoryTrials()
        self.inference = Inference(POLICY, self.clock, report_s=1.0, operator_token="token")
        self.inference.is_settled = True
        self.inference.set_resources("m", RESOURCES, revision=1)
        self.reconciler = Reconciler(
            self.inference,
            self.cluster,
            models=self.models,
            trials=self.trials,
            clock=self.clock,
            settings=SETTINGS,
            operator_token="token",
        )

    def want(self, *versions: Version, epoch: int = 1) -> None:
        self.inference.set_arms("m", frozenset(versions), epoch=epoch)


@pytest.fixture
async def world() -> World:
    return World()


async def test_deploys_what_an_arm_names_with_the_resources_of_the_spec(world: World) -> None:
    world.want(V1)
    await world.reconciler.step()
    made = world.cluster.running[V1.app_name]
    assert (made.replicas, made.cpus_per_replica) == (2, 0.25)
    assert (made.config.desk, made.config.spec_yaml, made.config.version) == ("host:1", "name: m", V1)
    assert "token" not in repr(made.config)
    await world.reconciler.step()
    assert list(world.cluster.running) == [V1.app_name]


async def test_deletes_what_no_arm_names_any_more(world: World) -> None:
    world.want(V1)
    await world.reconciler.step()
    world.want(V2, epoch=2)
    await world.reconciler.step()
    assert world.cluster.running.keys() == {V1.app_name, V2.app_name}
    world.clock.advance(10)
    await world.reconciler.step()
    assert world.cluster.running.keys() == {V2.app_name}


async def test_a_model_that_is_wrong_costs_no_process_and_stops_nobody(world: World) -> None:
    world.models.errors[V1] = InvalidInput("digest differs")
    world.want(V1, V2)
    await world.reconciler.step()
    assert world.cluster.running.keys() == {V2.app_name}
    state = world.inference.get_version("m", "1")
    assert (state.state, state.message) == (FAILED, "digest differs")


async def test_a_model_that_fails_its_trial_reaches_no_replica_and_stops_nobody(world: World) -> None:
    world.trials.errors[V1] = InvalidInput("the model was tried and ended its process: signal SIGSEGV")
    world.want(V1, V2)
    await world.reconciler.step()
    assert world.cluster.running.keys() == {V2.app_name}
    assert sorted(world.trials.tried, key=lambda tried: tried[0].version) == [
        (V1, "name: m"),
        (V2, "name: m"),
    ]
    state = world.inference.get_version("m", "1")
    assert (state.state, state.message) == (FAILED, str(world.trials.errors[V1]))


async def test_a_trial_that_goes_on_is_waited_for(world: World) -> None:
    world.trials.errors[V1] = Unavailable("it is being tried in a process of its own")
    world.want(V1)
    await world.reconciler.step()
    state = world.inference.get_version("m", "1")
    assert (state.state, state.message) == (LOADING, "it is being tried in a process of its own")


async def test_a_registry_that_is_away_is_waited_for(world: World) -> None:
    world.models.errors[V1] = Unavailable("registry away")
    world.want(V1)
    await world.reconciler.step()
    state = world.inference.get_version("m", "1")
    assert (state.state, state.message) == (LOADING, "registry away")
    world.models.errors.clear()
    world.clock.advance(2)
    await world.reconciler.step()
    assert world.cluster.running.keys() == {V1.app_name}


async def test_touches_nothing_before_the_demand_is_known(world: World) -> None:
    await world.cluster.deploy([Deployment(name=V1.app_name, replicas=1, cpus_per_replica=1, config=None)])  # type: ignore[arg-type]
    stop = asyncio.Event()
    known = False
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(world.reconciler.run(lambda: known, stop))
        for _ in range(20):
            world.clock.advance(11)
            world.inference.news.set()
            await asyncio.sleep(0)
        assert world.cluster.running
        known = True
        while world.cluster.running:
            world.clock.advance(11)
            world.inference.news.set()
            await asyncio.sleep(0)
        stop.set()
        world.inference.news.set()
    assert world.cluster.has_left


@pytest.mark.parametrize(("failure", "patience_s"), [(HeadGone("no head"), 2), (Unavailable("hangs"), 60)])
async def test_ends_when_ray_stays_away(world: World, failure: SlipwayError, patience_s: float) -> None:
    started_s = world.clock.now_s()

    async def wait() -> None:
        while not world.reconciler.is_connected:
            await asyncio.sleep(0)
        world.cluster.failure = failure
        while not world.cluster.has_left:
            world.clock.advance(1)
            world.inference.news.set()
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        waiting = asyncio.ensure_future(wait())
        with pytest.raises(Unavailable, match=str(failure)):
            await world.reconciler.run(lambda: True, asyncio.Event())
        await waiting
    assert world.clock.now_s() - started_s > patience_s


async def test_a_short_absence_of_ray_is_sat_out(world: World) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        world.cluster.failure = HeadGone("not yet")
        group.create_task(world.reconciler.run(lambda: True, stop))
        await asyncio.sleep(0)
        world.cluster.failure = None
        world.want(V1)
        while not world.cluster.running:
            await asyncio.sleep(0.01)
        stop.set()
        world.inference.news.set()
