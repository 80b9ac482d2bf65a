"""Limits that gateways share, with a real Redis or Valkey that is emptied and killed, and PostgreSQL."""

import asyncio
import multiprocessing
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.gateway.cache.shared import connect
from services.gateway.domain.limit_windows import Window, window_of
from services.gateway.limits.leasing import Leasing, Spending
from services.gateway.limits.limits import Limits
from services.gateway.limits.refusals import LimitReached, StoreAway
from services.gateway.limits.rules import Bucket, Rule
from services.gateway.limits.settlement import Settlement
from services.gateway.limits.store import TIMEOUT_S, LeaseStore
from services.gateway.limits.terms import LEASE_S, StoreState
from services.gateway.limits.usage import Usage
from slipway.clock import SystemClock
from slipway.errors import Overloaded, SlipwayError
from tests.gateway.limits.stand_in import ANNA, limits_of
from tests.gateway.live import wait_for
from tests.gateway.redis_process import RedisProcess, redis_process
from tests.service_process import own_database, until

pytestmark = pytest.mark.integration

BUDGET = "limits: [{name: b, budget: {requests: %d, per: month}}]"
RATE = "limits: [{name: r, rate: {requests: %d, per: second}}]"
SPENDERS = 200


class Nobody:
    """Nothing was ever spent."""

    async def spent(self, _rule: Rule, _bucket: Bucket, _window: Window) -> dict[str, int]:
        return {}


class One:
    """One gateway's limits, without the rest of it."""

    def __init__(
        self,
        text: str,
        url: str,
        spending: Spending | None = None,
        *,
        holder: str = "",
        lease_s: float = LEASE_S,
    ) -> None:
        self.usage, self.state = Usage(), StoreState()
        self.limits: Limits = limits_of(text, usage=self.usage, state=self.state)
        client = connect(url, timeout_s=TIMEOUT_S)
        store = LeaseStore(client, holder=holder or secrets.token_hex(4), lease_s=lease_s)
        self.leasing = Leasing(store, spending or Nobody(), state=self.state, clock=SystemClock())
        self.limits.lease_by(self.leasing)

    async def ask(self) -> SlipwayError | None:
        """One request; why it was refused."""
        try:
            reservation = await self.limits.patiently(partial(self.limits.reserve, ANNA, "m", rows=1))
        except SlipwayError as error:
            return error
        await asyncio.sleep(0)  # a version answers
        reservation.settle()
        return None


@asynccontextmanager
async def running(*gateways: One) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(gateway.leasing.run(stop)) for gateway in gateways]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with redis_process(tmp_path / "redis") as server:
        server.start()
        yield server


async def spend_all(gateways: list[One], spenders: int) -> int:
    """Until everybody is told that it is over; returns how often it was not."""
    count = 0

    async def spender(gateway: One) -> None:
        nonlocal count
        while True:
            error = await gateway.ask()
            if error is None:
                count += 1
            elif error.retry_after_s is None or error.retry_after_s > 1:
                return
            else:
                await asyncio.sleep(error.retry_after_s)

    await asyncio.gather(*(spender(gateways[n % len(gateways)]) for n in range(spenders)))
    return count


async def test_200_parallel_spenders_use_all_of_a_budget_and_no_more(redis: RedisProcess) -> None:
    limit = 2000
    gateways = [One(BUDGET % limit, redis.url) for _ in range(2)]
    async with running(*gateways):
        await until("each knows of the other", lambda: _true(all(g.state.gateways == 2 for g in gateways)))
        spent = await spend_all(gateways, SPENDERS)
    bound = gateways[0].limits.rules.limits[0].lease * len(gateways)
    assert limit * 0.99 <= spent <= limit + bound


async def test_200_parallel_spenders_keep_a_rate(redis: RedisProcess) -> None:
    rate, seconds = 500, 2.0
    gateways = [One(RATE % rate, redis.url) for _ in range(2)]
    count = 0

    async def spender(gateway: One, end_s: float) -> None:
        nonlocal count
        while time.monotonic() < end_s:
            error = await gateway.ask()
            if error is None:
                count += 1
            else:
                await asyncio.sleep(max(0.02, error.retry_after_s or 0))

    async with running(*gateways):
        await gateways[0].ask()
        start_s = time.monotonic()
        await asyncio.gather(*(spender(gateways[n % 2], start_s + seconds) for n in range(SPENDERS)))
        took_s = time.monotonic() - start_s
    bound = gateways[0].limits.rules.limits[0].lease * len(gateways)
    assert count <= rate + rate * took_s + bound
    assert count >= 0.9 * (rate + rate * seconds)


def _spend_until_killed(url: str, count: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    async def work() -> None:
        gateway = One(BUDGET % 3000, url, holder="killed", lease_s=2)
        async with running(gateway):
            while True:
                if await gateway.ask() is None:
                    count.value += 1
                if count.value % 10 == 0:
                    await asyncio.sleep(0.001)

    asyncio.run(work())


@pytest.fixture
def killed(redis: RedisProcess) -> int:
    """What a gateway had spent when SIGKILL came."""
    # Forked, not spawned: it begins at once, and is killed before it ends.
    context = multiprocessing.get_context("fork")
    count = context.Value("i", 0)
    process = context.Process(target=_spend_until_killed, args=(redis.url, count))
    process.start()
    wait_for("it spends", lambda: count.value > 300)
    process.kill()
    process.join()
    return int(count.value)


async def test_a_killed_spender_costs_at_most_its_lease_and_blocks_nothing(
    redis: RedisProcess, killed: int
) -> None:
    limit = 3000
    gateway = One(BUDGET % limit, redis.url)
    async with running(gateway):
        spent = await spend_all([gateway], SPENDERS)
    lease = gateway.limits.rules.limits[0].lease
    # One request may have been counted by the store and not yet by the killed process.
    assert limit - 1 <= killed + spent <= limit + lease


async def _true(value: bool) -> bool:
    return value


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_while_the_store_is_away_each_limit_goes_by_its_policy(redis: RedisProcess) -> None:
    text = (
        "limits:\n"
        "- {name: local, match: {model: m}, budget: {requests: 1000, per: day}}\n"
        "- {name: strict, match: {model: n}, when_store_is_away: refuse, budget: {requests: 1000, per: day}}"
    )
    gateways = [One(text, redis.url) for _ in range(2)]
    one = gateways[0]

    async def ask(model: str) -> SlipwayError | None:
        try:
            ask = partial(one.limits.reserve, ANNA, model, rows=1)
            (await one.limits.patiently(ask)).settle()
        except SlipwayError as error:
            return error
        return None

    async with running(*gateways):
        await until("both are known", lambda: _true(one.state.gateways == 2))
        assert await ask("m") is None
        assert await ask("n") is None
        redis.kill()
        await until("it is missed", lambda: _true(one.state.is_away))
        assert metric("slipway_limits_store_state") == 0
        alone = metric("slipway_limits_admitted_alone_total", limit="local")
        refused = metric("slipway_limits_refusals_total", limit="strict", kind="store_away")
        answers = [await ask("m") for _ in range(1000)]
        refusals = [error for error in answers if error is not None]
        assert 500 <= len(refusals) <= 520  # half of it is the other gateway's
        assert all(isinstance(error, LimitReached) for error in refusals)
        strict = [await ask("n") for _ in range(20)]
        assert isinstance(strict[-1], StoreAway)
        let_in = metric("slipway_limits_admitted_alone_total", limit="local") - alone
        assert let_in > 0
        assert metric("slipway_limits_refusals_total", limit="strict", kind="store_away") > refused
        redis.start()
        await until("it is back", lambda: _true(not one.state.is_away))
        assert metric("slipway_limits_store_state") == 1
        assert await ask("n") is None


@pytest.fixture
def dsn() -> Iterator[str]:
    with own_database("gateway") as it:
        yield it


async def test_an_emptied_store_is_told_again_what_was_spent(redis: RedisProcess, dsn: str) -> None:
    limit, stop = 500, asyncio.Event()
    async with AsyncExitStack() as stack:
        gateway = One(BUDGET % limit, redis.url, holder="one")
        settlement = Settlement(dsn, gateway.usage, holder="one")
        gateway.leasing._spending = settlement
        settling = asyncio.create_task(settlement.run(stop))
        await stack.enter_async_context(running(gateway))
        rule = gateway.limits.rules.limits[0]
        window = window_of(time.time(), "month")

        async def settled() -> int:
            try:
                return sum((await settlement.spent(rule, (None, None, None), window)).values())
            except SlipwayError:
                return -1

        await until("PostgreSQL is there", lambda: _at_least(settled, 0))
        for _ in range(300):
            assert await gateway.ask() is None
        await until("it is settled", lambda: _at_least(settled, 300))
        with redis.client() as client:
            client.flushall()
        spent = await spend_all([gateway], 20)
        assert spent == limit - 300
        await until("the rest is settled", lambda: _at_least(settled, limit))
        assert await settled() == limit
        ((bucket, used),) = await settlement.buckets(rule, window, most=10)
        assert (bucket, used) == ((None, None, None), limit)

        # A gateway that starts anew knows nothing; the store is empty again: PostgreSQL still knows.
        with redis.client() as client:
            client.flushall()
        second = One(BUDGET % limit, redis.url, settlement)
        async with running(second):
            assert isinstance(await second.ask(), Overloaded)
    stop.set()
    await settling


async def _at_least(count, least: int) -> bool:  # type: ignore[no-untyped-def]
    return bool(await count() >= least)
