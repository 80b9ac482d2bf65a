from collections.abc import Sequence
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.balancing import DECAY_S, Load, PoolLatency, choose


class Scripted:
    """Numbers in the order of the script."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = list(numbers)

    def random(self) -> float:
        return self._numbers.pop(0)


def loads(*rows: int) -> list[Load]:
    found = [Load() for _ in rows]
    for load, count in zip(found, rows, strict=True):
        load.rows = count
    return found


def test_the_less_loaded_of_two_is_chosen() -> None:
    assert choose(loads(8, 1, 0), 1, now_s=0, rng=Scripted(0.0, 0.0)) == 1  # of the first and the second
    assert choose(loads(8, 1, 0), 1, now_s=0, rng=Scripted(0.99, 0.0)) == 2  # of the third and the first


def test_a_sole_endpoint_needs_no_luck() -> None:
    assert choose(loads(5), 1, now_s=0, rng=Scripted()) == 0


@given(
    rows=st.lists(st.integers(0, 100), min_size=2, max_size=6),
    numbers=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
)
def test_two_different_endpoints_are_compared(rows: Sequence[int], numbers: tuple[float, float]) -> None:
    chosen = choose(loads(*rows), 1, now_s=0, rng=Scripted(*numbers))
    assert rows[chosen] < max(rows) or rows.count(max(rows)) > 1 or len(rows) == 1


def test_rows_are_shared_far_more_evenly_than_by_one_choice() -> None:
    rng, count, calls = Random(1), 50, 5000
    by_two, by_one = loads(*[0] * count), [0] * count
    for _ in range(calls):
        by_two[choose(by_two, 1, now_s=0, rng=rng)].rows += 1
        by_one[int(rng.random() * count)] += 1
    excess = max(load.rows for load in by_two) - calls / count
    # Berenbrink et al., Balanced Allocations: The Heavily Loaded Case, 2006: log log n / log 2 + O(1).
    assert excess <= 4
    assert max(by_one) - calls / count > 10


def test_a_slow_endpoint_costs_as_many_times_more() -> None:
    slow, usual = loads(0, 0)
    slow.observe(6.0, now_s=100.0)
    assert slow.cost(2, now_s=100.0) == 12.0
    usual.observe(1.0, now_s=100.0)
    assert usual.cost(2, now_s=100.0) == 2.0


def test_an_unknown_endpoint_is_tried_soon_and_not_flooded() -> None:
    unknown, known = loads(0, 0)
    known.observe(0.6, now_s=0.0)
    assert unknown.cost(1, now_s=0.0) < known.cost(1, now_s=0.0)
    unknown.rows = 1
    assert unknown.cost(1, now_s=0.0) > known.cost(1, now_s=0.0)


def test_a_rise_counts_at_once_and_a_fall_by_and_by() -> None:
    load = Load()
    load.observe(1.0, now_s=0.0)
    load.observe(9.0, now_s=1.0)
    assert load.cost(1, now_s=1.0) == 9.0
    load.observe(1.0, now_s=1.0 + DECAY_S)
    assert load.cost(1, now_s=1.0 + DECAY_S) == pytest.approx(9 * exp(-1) + (1 - exp(-1)))


def test_an_old_estimate_fades_and_never_makes_an_endpoint_look_free() -> None:
    load = Load()
    load.observe(100.0, now_s=0.0)
    assert load.cost(1, now_s=DECAY_S) == pytest.approx(100 / 2.718281828)
    assert load.cost(10, now_s=1e6) == 5.0


def test_slowness_is_measured_against_calls_of_the_same_size() -> None:
    latency = PoolLatency()
    assert latency.expected_s(1) is None
    assert latency.observe(1, 0.001) == 1.0
    assert latency.observe(200, 0.1) == 1.0  # the first of its size
    assert latency.observe(1, 0.003) == pytest.approx(3.0)
    assert latency.expected_s(1) == pytest.approx(0.002)
    for _ in range(98):
        latency.observe(1, 0.002)
    latency.observe(1, 0.022)
    assert latency.expected_s(1) == pytest.approx(0.002 + 0.05 * 0.02, rel=0.01)
    assert latency.expected_s(255) == pytest.approx(0.1)  # same power of two as 200
    assert latency.expected_s(256) is None


def test_a_latency_of_nothing_is_no_measure() -> None:
    latency = PoolLatency()
    assert latency.observe(1, 0.0) == 1.0
    assert latency.observe(1, 0.002) == 1.0
