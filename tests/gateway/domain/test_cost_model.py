import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.cost_model import CostModel

COSTS = st.tuples(st.floats(1e-5, 0.1), st.floats(0, 0.1))


def taught(per_row_s: float, per_call_s: float, *, calls: int = 200, outliers: float = 0.0) -> CostModel:
    """By calls of many sizes with a tenth of noise; some take fifty times as long."""
    rng, costs = Random(1), CostModel()
    teach(costs, per_row_s, per_call_s, rng=rng, calls=calls, outliers=outliers)
    return costs


def teach(
    costs: CostModel, per_row_s: float, per_call_s: float, *, rng: Random, calls: int, outliers: float = 0.0
) -> None:
    for _ in range(calls):
        rows = rng.choice((1, 2, 5, 12, 30))
        stretch = 50.0 if rng.random() < outliers else 1.0
        costs.observe(rows, (per_row_s * rows + per_call_s) * rng.uniform(0.9, 1.1) * stretch)


def test_nothing_is_expected_before_some_calls() -> None:
    costs = CostModel()
    for _ in range(3):
        costs.observe(4, 1.0)
        assert (costs.is_known, costs.seconds(4), costs.cautious_seconds(4)) == (False, 0.0, 0.0)
        assert costs.efficient_rows(0.9, 64) == pytest.approx(1.0)
    costs.observe(4, 1.0)
    assert costs.is_known
    assert costs.seconds(4) == pytest.approx(1.0)


@given(COSTS)
def test_finds_the_line(costs: tuple[float, float]) -> None:
    model = taught(*costs)
    for rows in (1, 10, 30):
        assert model.seconds(rows) == pytest.approx(costs[0] * rows + costs[1], rel=0.15)
        assert model.seconds(rows) < model.cautious_seconds(rows)


@given(COSTS)
def test_a_few_outliers_change_little(costs: tuple[float, float]) -> None:
    model = taught(*costs, outliers=0.02)
    for rows in (5, 30):
        assert model.seconds(rows) == pytest.approx(costs[0] * rows + costs[1], rel=0.35)


def test_one_outlier_changes_hardly_anything() -> None:
    model = taught(0.001, 0.002)
    before = model.seconds(10)
    model.observe(10, 1000 * before)
    assert model.seconds(10) == pytest.approx(before, rel=0.05)


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_lasting_change_is_learned(factor: float) -> None:
    model = taught(0.001, 0.002)
    teach(model, 0.001 * factor, 0.002 * factor, rng=Random(2), calls=250)
    assert model.seconds(30) == pytest.approx(0.032 * factor, rel=0.2)


def test_the_first_call_is_left_out() -> None:
    model = CostModel()
    model.observe(1, 60.0)
    for _ in range(6):
        model.observe(1, 0.001)
    assert model.seconds(1) == pytest.approx(0.001)


def test_where_all_calls_had_one_size_cost_is_proportional() -> None:
    model = CostModel()
    for _ in range(30):
        model.observe(4, 0.008)
    assert model.seconds_per_row == pytest.approx(0.002)
    assert model.seconds_per_call == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1e4)), min_size=2, max_size=80))
def test_whatever_is_seen_costs_stay_finite_and_grow_with_rows(seen: list[tuple[int, float]]) -> None:
    model = CostModel()
    for rows, seconds in seen:
        model.observe(rows, seconds)
    assert 0 <= model.seconds(1) <= model.seconds(100) < math.inf
    assert 1 <= model.efficient_rows(0.9, 64) <= 64
    assert model.rows_within(1.0) >= 1


def test_a_call_that_was_given_up_counts_only_if_it_was_slower_than_expected() -> None:
    model = taught(0.001, 0.0)
    before = model.seconds(10)
    model.observe_at_least(10, before / 2)
    assert model.seconds(10) == before
    for _ in range(100):
        model.observe_at_least(10, 1.0)
    assert model.seconds(10) > 10 * before


def test_larger_calls_that_are_faster_do_not_make_rows_cost_less_than_nothing() -> None:
    model = CostModel()
    for _ in range(30):
        model.observe(1, 0.010)
        model.observe(10, 0.005)
    assert model.seconds_per_row == 0.0
    assert model.seconds(5) == pytest.approx(0.0075, rel=0.1)
    assert (model.efficient_rows(0.9, 64), model.rows_within(0.001)) == (64.0, math.inf)


def test_a_call_is_efficient_where_the_rate_is_near_the_highest() -> None:
    model = taught(0.001, 0.010)
    rows = model.efficient_rows(0.9, 1000)
    assert rows / model.seconds(rows) == pytest.approx(0.9 / model.seconds_per_row)
    assert model.efficient_rows(0.9, 16) == 16
    assert model.seconds(model.rows_within(0.5)) == pytest.approx(0.5)
    assert model.rows_within(0.0) == 1.0
