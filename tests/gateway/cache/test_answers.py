import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.gateway.cache.answers import AnswerCache
from services.gateway.cache.ledger import ANSWERS_LENGTH, SHARED_LENGTH
from services.gateway.cache.local import LocalTier
from services.gateway.domain.checks import CheckedInput
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm, Route
from services.gateway.records import Prediction
from slipway.clock import ManualClock
from slipway.identity.caller import Caller
from slipway.policy.engine import UNDECIDED
from slipway.spec import parse

CHAMPION = Arm(version="1", digest="d1", upstream="inference", role="champion", weight_ppm=1_000_000)
NEXT = replace(CHAMPION, version="2", digest="d2")
SECRET = b"s" * 64


def contract(serving: str) -> Contract:
    return contract_of(
        parse(
            "name: m\ntask: regression\nfeatures: [{name: x}]\nlabel: {name: y}\n"
            f"serving: {{{serving}}}\n"
        )
    )


KEPT = contract("cache_ttl_s: 10")
WITH_FALLBACK = contract("cache_ttl_s: 10, fallback: [cached_answer]")
NOT_KEPT = contract("timeout_ms: 1000")


def route(epoch: int, *arms: Arm) -> Route:
    return Route(model="m", epoch=epoch, salt="s", arms=arms)


FIRST = route(1, CHAMPION)


class TickingClock(ManualClock):
    """Every look takes a little: lookups have a cost."""

    def monotonic_s(self) -> float:
        self.advance(1e-6)
        return super().monotonic_s()


class Store:
    """The shared store's other side, as another gateway would see it."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.lives_s: dict[str, float] = {}
        self.asked = 0
        self.is_in_use = True
        self.on_get: Any = lambda: None

    async def get(self, name: str, *, deadline_s: float) -> bytes | None:
        self.asked += 1
        self.on_get()
        return self.values.get(name)

    def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        self.values[name] = value
        self.lives_s[name] = ttl_s


@dataclass(kw_only=True)
class Bench:
    """A gateway's cache and a version that answers with a growing number."""

    store: Store = field(default_factory=Store)
    clock: ManualClock = field(default_factory=ManualClock)
    contract: Contract = KEPT
    route: Route = FIRST
    is_alone: bool = False
    computed: int = 0
    compute_s: float = 0.0
    error: Exception | None = None
    cache: AnswerCache = field(init=False)

    def __post_init__(self) -> None:
        store: Any = None if self.is_alone else self.store
        self.cache = AnswerCache(LocalTier(10**6), store, clock=self.clock, secret=SECRET, stale_s=100)

    def other_gateway(self) -> "Bench":
        return Bench(store=self.store, clock=self.clock, contract=self.contract, route=self.route)

    def prediction(self, x: float = 0.5, *, arm: Arm | None = None, **fields: Any) -> Prediction:
        raw = np.array([x], dtype="<f4")
        checked = CheckedInput(
            rows=1,
            columns=(raw.tobytes(),),
            numbers=raw.reshape(1, 1),
            outside=None,
            has_missing=False,
            texts={},
            flags=(),
        )
        values: dict[str, Any] = {
            "prediction_id": "p",
            "caller": Caller(principal="me", tenant="t", roles=("app",), method="api_key", credential_id="k"),
            "decision": UNDECIDED,
            "arm": arm or self.route.arms[0],
            "contract": self.contract,
            "route_epoch": self.route.epoch,
            "unit": "",
            "business_key": "",
            "request_id": "",
            "checked": checked,
            "form": None,
            "protocol": "grpc",
        }
        return Prediction(**{**values, **fields})

    async def compute(self) -> tuple[bytes, ...]:
        self.computed += 1
        self.clock.advance(self.compute_s)
        if self.error:
            raise self.error
        await asyncio.sleep(0)
        return (self.computed.to_bytes(4, "little"),)

    async def ask(self, x: float = 0.5, **fields: Any) -> tuple[int, str]:
        columns, tier = await self.cache.answer(
            self.prediction(x, **fields),
            route=self.route,
            outputs=("value",),
            deadline_s=self.clock.monotonic_s() + 60,
            compute=self.compute,
        )
        return int.from_bytes(columns[0], "little"), tier

    async def stale(self, x: float = 0.5) -> tuple[int, str, str] | None:
        found = await self.cache.find_stale(self.prediction(x), timeout_s=60)
        if found is None:
            return None
        return int.from_bytes(found.outputs[0], "little"), found.version, found.digest


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": "m", **labels}) or 0.0


async def test_the_same_question_is_computed_once() -> None:
    bench = Bench()
    hits, misses = value("slipway_cache_hits_total", tier="local"), value("slipway_cache_misses_total")
    assert [await bench.ask(), await bench.ask(), await bench.ask(0.7)] == [(1, ""), (1, "local"), (2, "")]
    assert value("slipway_cache_hits_total", tier="local") == hits + 1
    assert value("slipway_cache_misses_total") == misses + 2
    assert REGISTRY.get_sample_value("slipway_cache_entries") == 2


async def test_who_asks_by_which_id_unit_or_key_does_not_matter_but_the_tenant_does() -> None:
    bench = Bench()
    await bench.ask()
    somebody = Caller(principal="you", tenant="t", roles=("app",), method="api_key", credential_id="j")
    same: dict[str, Any] = {
        "prediction_id": "q",
        "unit": "u",
        "business_key": "b",
        "request_id": "r",
        "route_epoch": 9,
    }
    assert await bench.ask(caller=somebody, **same) == (1, "local")
    assert await bench.ask(caller=replace(somebody, tenant="other")) == (2, "")


async def test_a_model_whose_spec_says_nothing_is_not_cached() -> None:
    bench = Bench(contract=NOT_KEPT)
    assert [await bench.ask(), await bench.ask()] == [(1, ""), (2, "")]
    assert bench.store.asked == 0
    assert bench.store.values == {}


async def test_an_answer_is_as_old_as_its_computation_wherever_it_lay() -> None:
    bench = Bench()
    await bench.ask()
    bench.clock.advance(6)
    other = bench.other_gateway()
    assert [await other.ask(), await other.ask()] == [(1, "shared"), (1, "local")]
    bench.clock.advance(4)
    assert [await bench.ask(), await other.ask()] == [(2, ""), (2, "shared")]


async def test_without_a_shared_store_each_gateway_keeps_answers_to_itself() -> None:
    bench = Bench(is_alone=True, contract=WITH_FALLBACK)
    assert [await bench.ask(), await bench.ask()] == [(1, ""), (1, "local")]
    assert await bench.stale(0.9) is None


async def test_equal_requests_at_the_same_time_are_one_computation() -> None:
    bench = Bench()
    before = value("slipway_cache_hits_total", tier="flight")
    assert await asyncio.gather(*(bench.ask() for _ in range(3))) == [(1, ""), (1, "local"), (1, "local")]
    assert value("slipway_cache_hits_total", tier="flight") == before + 2
    assert bench.store.asked == 1


async def test_many_kinds_of_requests_take_no_room_for_ever() -> None:
    bench = Bench(is_alone=True)
    caller = Caller(principal="me", tenant="", roles=("app",), method="api_key", credential_id="k")
    for n in range(1500):
        await bench.ask(caller=replace(caller, tenant=str(n)))
    assert len(bench.cache._begun) <= 1024
    assert await bench.ask(caller=replace(caller, tenant="1499")) == (1500, "local")


async def test_a_failure_is_not_kept() -> None:
    bench = Bench(error=ArmFailed("broken"))
    with pytest.raises(ArmFailed):
        await bench.ask()
    bench.error = None
    assert await bench.ask() == (2, "")


async def test_another_version_answers_for_itself_and_a_promotion_flushes() -> None:
    bench = Bench()
    await bench.ask()
    bench.route = route(2, CHAMPION, replace(NEXT, role="canary"))
    assert await bench.ask(arm=bench.route.arms[1]) == (2, "")
    assert await bench.ask() == (1, "local")
    bench.store.values.clear()
    bench.route = route(3, NEXT, replace(CHAMPION, role="standby"))
    assert await bench.ask() == (3, "")
    bench.store.values.clear()
    bench.route = route(4, CHAMPION)
    assert await bench.ask() == (4, "")


async def test_an_older_route_table_flushes_nothing() -> None:
    bench = Bench()
    bench.route = route(5, CHAMPION)
    await bench.ask()
    bench.route = route(4, NEXT)
    await bench.ask()
    bench.route = route(5, CHAMPION)
    assert await bench.ask() == (1, "local")


@pytest.mark.parametrize("spoiled", [b"", b"SC1", b"nonsense" * 20])
async def test_what_others_wrote_into_the_store_is_not_believed(spoiled: bytes) -> None:
    bench = Bench()
    await bench.ask()
    bench.store.values = dict.fromkeys(bench.store.values, spoiled)
    before = REGISTRY.get_sample_value("slipway_cache_rejected_values_total") or 0.0
    assert await bench.other_gateway().ask() == (1, "")
    assert REGISTRY.get_sample_value("slipway_cache_rejected_values_total") == before + 1


async def test_one_answer_cannot_be_put_in_place_of_another() -> None:
    bench = Bench()
    await bench.ask(0.5)
    await bench.ask(0.7)
    first, second = bench.store.values
    bench.store.values[first] = bench.store.values[second]
    assert await bench.other_gateway().ask(0.5) == (1, "")


async def test_a_clock_that_is_ahead_elsewhere_makes_answers_new_not_older_than_old() -> None:
    bench = Bench()
    await bench.ask()
    other = bench.other_gateway()
    other.clock = ManualClock(bench.clock.now_s() - 1000)
    other.__post_init__()
    assert await other.ask() == (1, "shared")
    other.clock.advance(10)
    assert await other.ask() == (1, "shared")  # its own clock still says that it comes from the future


async def test_a_fallback_is_expired_or_of_an_older_version_and_not_beyond_its_window() -> None:
    bench = Bench(contract=WITH_FALLBACK)
    await bench.ask()
    bench.clock.advance(10)
    bench.route = route(2, NEXT)
    bench.error = ArmFailed("broken")
    with pytest.raises(ArmFailed):
        await bench.ask()
    before = value("slipway_cache_stale_total", tier="local")
    assert await bench.stale() == (1, "1", "d1")
    assert value("slipway_cache_stale_total", tier="local") == before + 1
    assert await bench.stale(0.9) is None
    bench.clock.advance(100)
    assert await bench.stale() is None


async def test_a_fallback_may_come_from_another_gateway() -> None:
    bench = Bench(contract=WITH_FALLBACK)
    await bench.ask()
    bench.clock.advance(50)
    other = bench.other_gateway()
    other.route = route(2, NEXT)
    assert await other.stale() == (1, "1", "d1")
    assert sorted(bench.store.lives_s.values()) == [10, 110]
    bench.clock.advance(60)
    assert await other.stale() is None


async def test_a_model_without_that_fallback_keeps_nothing_stale() -> None:
    bench = Bench()
    await bench.ask()
    assert await bench.stale() is None
    assert list(bench.store.lives_s.values()) == [10]


async def fill(bench: Bench, count: int) -> None:
    for n in range(count):
        await bench.ask(n)


async def test_a_store_that_takes_longer_than_it_spares_is_no_longer_asked() -> None:
    bench = Bench(compute_s=0.001)
    bench.store.on_get = lambda: bench.clock.advance(0.002)
    bench.store.put = lambda *_arguments, **_names: None  # type: ignore[method-assign]
    await fill(bench, 2 * SHARED_LENGTH + 1)
    asked = bench.store.asked
    assert value("slipway_cache_paying", part="shared") == 0
    await bench.ask(-1)
    assert bench.store.asked == asked
    bench.clock.advance(61)
    await bench.ask(-2)
    assert bench.store.asked == asked + 1
    assert value("slipway_cache_paying", part="shared") == 1


async def test_a_cache_that_does_not_pay_is_switched_off_and_tried_again() -> None:
    bench = Bench(contract=contract("cache_ttl_s: 100"), is_alone=True, clock=TickingClock())
    await fill(bench, 2 * ANSWERS_LENGTH + 1)
    assert value("slipway_cache_paying", part="all") == 0
    assert await bench.ask(0) == (2 * ANSWERS_LENGTH + 2, "")
    assert await bench.ask(0) == (2 * ANSWERS_LENGTH + 3, "")
    bench.clock.advance(61)
    await bench.ask(0)
    assert (await bench.ask(0))[1] == "local"
    assert value("slipway_cache_paying", part="all") == 1


async def test_a_cache_that_is_a_fallback_too_stays_on() -> None:
    bench = Bench(contract=WITH_FALLBACK, is_alone=True, clock=TickingClock())
    await fill(bench, 2 * ANSWERS_LENGTH + 1)
    await bench.ask(-1)
    assert (await bench.ask(-1))[1] == "local"


async def test_a_store_at_rest_is_not_asked() -> None:
    bench = Bench()
    bench.store.is_in_use = False
    assert await bench.ask() == (1, "")
    assert bench.store.asked == 0
