"""kill -9 of the controller at every transition, of several models at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import AsyncExitStack

import pytest

from services.rollout.domain.state_machine import STEP_OF, TABLE, State, Trigger
from tests.rollout import bench
from tests.rollout.held import held, restart
from tests.rollout.walker import SIGNER, Walker, count_entries
from tests.rollout.walks import Stop, find_walks, unreachable
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration

WALKS = find_walks()
# Each holds a connection of the service while it is stopped, and the service needs some for itself.
AT_ONCE = 5
COMMITS = "LOCK TABLE rollout_log IN SHARE MODE"  # what was decided cannot be written
# What records decide.
FED = frozenset(
    {*STEP_OF.values(), Trigger.STEPS_PASSED, Trigger.BAKED, Trigger.NO_WINNER, Trigger.GUARD_FAILED}
)
SHIPPING = "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.outbox'))"
STOPPED_AT_COMMIT = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rollout_log'::regclass"


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
async def walkers(service: ServiceProcess) -> AsyncIterator[list[Walker]]:
    async with bench.bench(service) as it, AsyncExitStack() as stack:
        await asyncio.to_thread(service.wait_ready)
        signer = await it.operator(SIGNER)
        yield [
            Walker(it=await stack.enter_async_context(bench.beside(it)), walk=walk, signer=signer)
            for walk in WALKS
        ]


@pytest.mark.timeout(900)
async def test_killed_at_each_transition_it_goes_on_where_it_stood(walkers: list[Walker]) -> None:
    await together(walker.go_on() for walker in walkers)
    while at_new := [walker for walker in walkers if walker.is_at_new]:
        await take_under_fire(choose(at_new))
        await together(walker.go_on() for walker in walkers)
    await together(walker.finish() for walker in walkers)


def choose(walkers: list[Walker]) -> list[Walker]:
    """Those whose transitions can all be stopped at once, the longest ways first."""
    chosen: dict[str, Walker] = {}
    for walker in sorted(walkers, key=lambda walker: -len(walker.ahead)):
        if len(chosen) < AT_ONCE:
            chosen.setdefault(source_of(walker), walker)
    return list(chosen.values())


def source_of(walker: Walker) -> str:
    """What decides the next transition; a topic is read, and the log compared, one model after the other."""
    stop = walker.ahead[0]
    if stop.trigger is Trigger.RECONCILE:
        return "reconciliation"
    if stop.trigger in FED:
        return "copies" if stop.state is State.SHADOW else "predictions"
    return walker.it.model


async def take_under_fire(walkers: list[Walker]) -> None:
    """Killed when it is decided and not committed, and again when it is committed and not published."""
    service = walkers[0].it.service
    dsn = service.environment["SLIPWAY_POSTGRES_DSN"]
    await together(walker.prepare() for walker in walkers)
    await together(walker.start_clock() for walker in walkers)
    stops = [(walker, walker.ahead[0]) for walker in walkers]
    async with held(dsn, SHIPPING):
        async with held(dsn, COMMITS) as connection:
            is_enough = asyncio.Event()
            causing = asyncio.ensure_future(cause_all(stops, is_enough))
            stopped = 0

            async def decided() -> bool:
                nonlocal stopped
                stopped = int(await connection.fetchval(STOPPED_AT_COMMIT))
                return stopped == len(stops)

            await until(f"{[str(stop) for _, stop in stops]} to be decided", decided, seen=lambda: stopped)
            is_enough.set()
            service.kill()
            await causing
        for walker, stop in stops:
            assert await count_entries(walker.it) == len(walker.taken), f"{stop} was written by the dead"
        service.start()
        repeating = asyncio.ensure_future(together(walker.repeat(stop) for walker, stop in stops))
        await together(walker.is_taken(stop) for walker, stop in stops)
        service.kill()
        await repeating
    await restart(service)
    await together(walker.stop_clock() for walker in walkers)
    await together(walker.check() for walker in walkers)


async def cause_all(stops: list[tuple[Walker, Stop]], is_enough: asyncio.Event) -> None:
    """What is found at a start comes before what is asked of a process that runs."""
    for walker, stop in stops:
        if stop.trigger is Trigger.RECONCILE:
            await walker.cause(stop)
            await asyncio.to_thread(walker.it.service.wait_ready)
    others = [(walker, stop) for walker, stop in stops if stop.trigger is not Trigger.RECONCILE]
    await together(walker.insist(stop, is_enough) for walker, stop in others)


async def together(all_of_them: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*all_of_them)
