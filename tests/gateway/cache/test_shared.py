import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as GoneError
from redis.exceptions import ResponseError

from services.gateway.cache import shared
from services.gateway.cache.shared import SharedTier
from slipway.clock import SystemClock

CLOCK = SystemClock()
GENEROUS_S = 30.0
TIGHT_S = 0.001


class Pipeline:
    def __init__(self, store: "Store") -> None:
        self._store = store
        self._sets: list[tuple[str, bytes, int]] = []

    def set(self, name: str, value: bytes, *, px: int) -> None:
        self._sets.append((name, value, px))

    async def execute(self) -> None:
        await self._store.answer()
        for name, value, px in self._sets:
            self._store.values[name] = value
            self._store.lives_ms[name] = px


class Store:
    """What the tier sees of Redis: answers, waits or fails as the test says."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.lives_ms: dict[str, int] = {}
        self.calls: list[list[str]] = []
        self.pings = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.is_closed = False

    async def answer(self) -> None:
        await self.gate.wait()
        if self.error:
            raise self.error

    async def mget(self, names: list[str]) -> list[bytes | None]:
        self.calls.append(names)
        await self.answer()
        return [self.values.get(name) for name in names]

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)

    async def ping(self) -> None:
        self.pings += 1
        await self.answer()

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.fixture
def store() -> Store:
    return Store()


@asynccontextmanager
async def running(store: Any, budget_s: float = GENEROUS_S) -> AsyncIterator[SharedTier]:
    tier, stop = SharedTier(store, CLOCK, budget_s=budget_s), asyncio.Event()
    task = asyncio.get_running_loop().create_task(tier.run(stop))
    try:
        yield tier
    finally:
        stop.set()
        await task
    assert store.is_closed


async def get(tier: SharedTier, name: str = "a") -> bytes | None:
    return await tier.get(name, deadline_s=float("inf"))


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.001)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def abandoned() -> float:
    return count("slipway_cache_abandoned_lookups_total")


def writes(outcome: str) -> float:
    return count("slipway_cache_writes_total", outcome=outcome)


async def test_what_was_put_is_found_and_has_its_time(store: Store) -> None:
    async with running(store) as tier:
        tier.put("a", b"1", ttl_s=1.5)
        await until(lambda: store.values)
        assert [await get(tier), await get(tier, "b")] == [b"1", None]
    assert store.lives_ms == {"a": 1500}


async def test_lookups_that_wait_together_go_together(store: Store) -> None:
    store.gate.clear()
    store.values = {"b": b"2"}
    async with running(store) as tier, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(get(tier, "a"))
        await until(lambda: store.calls)
        others = [tasks.create_task(get(tier, name)) for name in "bcd"]
        await asyncio.sleep(0)
        store.gate.set()
        assert [await first, *[await other for other in others]] == [None, b"2", None, None]
    assert store.calls == [["a"], ["b", "c", "d"]]


async def test_a_slow_store_is_not_waited_for_and_after_three_times_not_asked(store: Store) -> None:
    store.gate.clear()
    before = abandoned()
    async with running(store, TIGHT_S) as tier:
        assert [await get(tier) for _ in range(3)] == [None] * 3
        assert not tier.is_in_use
        asked = len(store.calls)
        assert [await get(tier) for _ in range(10)] == [None] * 10
        assert len(store.calls) == asked
        assert abandoned() == before + 3
        assert count("slipway_cache_shared_state") == 0
        store.gate.set()


async def test_a_deadline_shorter_than_the_budget_counts(store: Store) -> None:
    store.gate.clear()
    before = abandoned()
    async with running(store) as tier:
        assert await tier.get("a", deadline_s=CLOCK.monotonic_s()) is None
        store.gate.set()
    assert abandoned() == before + 1


async def test_an_answer_in_time_forgives_the_slow_ones_before(store: Store) -> None:
    store.values = {"a": b"1"}
    async with running(store) as tier:
        for _ in range(3):
            store.gate.clear()
            for _ in range(2):
                assert await tier.get("a", deadline_s=CLOCK.monotonic_s()) is None
            store.gate.set()
            assert await get(tier) == b"1"
        assert tier.is_in_use


@pytest.mark.parametrize("error", [GoneError("gone"), ResponseError("NOAUTH"), OSError("no route")])
async def test_after_one_error_only_the_probe_asks_until_it_is_answered(
    store: Store, error: Exception
) -> None:
    store.values = {"a": b"1"}
    store.error = error
    async with running(store) as tier:
        assert await get(tier) is None
        assert not tier.is_in_use
        assert await get(tier) is None
        assert store.calls == [["a"]]
        before = writes("resting")
        tier.put("b", b"2", ttl_s=1)
        assert writes("resting") == before + 1
        store.error = None
        await until(lambda: tier.is_in_use)
        assert store.pings == 2
        assert await get(tier) == b"1"
        assert count("slipway_cache_shared_state") == 1


async def test_a_probe_that_fails_goes_on_resting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    real_sleep = asyncio.sleep

    async def nap(seconds: float) -> None:
        naps.append(round(seconds))
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", nap)
    store.error = GoneError("gone")
    before = count("slipway_cache_shared_errors_total", operation="probe")
    async with running(store) as tier:
        await get(tier)
        while len(naps) < 4:
            await real_sleep(0)
        store.error = None
        while not tier.is_in_use:
            await real_sleep(0)
    assert naps[:3] == [1, 2, 4]
    assert count("slipway_cache_shared_errors_total", operation="probe") >= before + 3


async def test_writes_beyond_the_queue_are_dropped_and_counted(store: Store) -> None:
    store.gate.clear()
    before = writes("overflow"), writes("too_large")
    async with running(store) as tier:
        tier.put("first", b"1", ttl_s=1)
        await asyncio.sleep(0)
        for n in range(shared._MAX_WRITES + 5):
            tier.put(str(n), b"1", ttl_s=1)
        tier.put("large", b"1" * (shared._LARGEST_BYTES + 1), ttl_s=1)
        assert writes("overflow") - before[0] in {5, 6}
        assert writes("too_large") == before[1] + 1
        store.gate.set()
        await until(lambda: str(shared._MAX_WRITES - 2) in store.values)


async def test_the_queue_of_writes_is_bounded_in_bytes_too(store: Store) -> None:
    store.gate.clear()
    before = writes("overflow")
    async with running(store) as tier:
        for n in range(10):
            tier.put(str(n), b"1" * shared._LARGEST_BYTES, ttl_s=1)
        assert writes("overflow") == before + 2
        store.gate.set()
        await until(lambda: len(store.values) == 8)
        tier.put("room", b"1", ttl_s=1)
        await until(lambda: "room" in store.values)


async def test_a_write_that_fails_is_counted_and_rests(store: Store) -> None:
    store.error = GoneError("gone")
    before = writes("failed")
    async with running(store) as tier:
        tier.put("a", b"1", ttl_s=1)
        await until(lambda: writes("failed") == before + 1)
        assert not tier.is_in_use


async def test_the_queue_of_lookups_is_bounded(store: Store) -> None:
    store.gate.clear()
    before = abandoned()
    async with running(store) as tier, asyncio.TaskGroup() as tasks:
        for n in range(shared._MAX_ASKED + shared._MAX_TOGETHER):
            tasks.create_task(get(tier, str(n)))
        await until(lambda: abandoned() == before + shared._MAX_TOGETHER)
        store.gate.set()


async def test_at_the_end_nobody_is_left_waiting(store: Store) -> None:
    store.gate.clear()
    async with asyncio.TaskGroup() as tasks, running(store) as tier:
        first = tasks.create_task(get(tier))
        await until(lambda: store.calls)
        second = tasks.create_task(get(tier))
        await asyncio.sleep(0)
    assert (await first, await second) == (None, None)
