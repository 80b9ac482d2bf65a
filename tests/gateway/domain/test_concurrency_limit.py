import math

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain import concurrency_limit
from services.gateway.domain.concurrency_limit import ConcurrencyLimit
from services.gateway.domain.cost_model import CostModel


def model(per_row_s: float, per_call_s: float) -> CostModel:
    costs = CostModel()
    for _ in range(20):
        for rows in (1, 4, 16, 64):
            costs.observe(rows, per_row_s * rows + per_call_s)
    return costs


def test_without_a_call_there_is_no_limit() -> None:
    assert ConcurrencyLimit().value == math.inf


def test_it_settles_where_latency_meets_the_target() -> None:
    limit, rate = ConcurrencyLimit(), 200.0
    for _ in range(200):
        in_flight = min(limit.value, 5000.0)  # as many as it lets in, answered at a fixed rate
        limit.update(in_flight / rate, target_s=0.5, in_flight=int(in_flight), lowest=2, highest=4096)
    assert 100 <= limit.value <= 130


def test_it_grows_back_while_requests_are_fast() -> None:
    limit = ConcurrencyLimit()
    limit.update(9.0, target_s=0.5, in_flight=8, lowest=2, highest=4096)
    assert limit.value < 8
    for _ in range(300):
        limit.update(0.1, target_s=0.5, in_flight=1, lowest=2, highest=4096)
    assert limit.value == 4096


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10_000)), min_size=1),
    st.floats(1, 50),
    st.floats(50, 5000),
)
def test_it_never_leaves_its_bounds(seen: list[tuple[float, int]], lowest: float, highest: float) -> None:
    limit = ConcurrencyLimit()
    for latency_s, in_flight in seen:
        limit.update(latency_s, target_s=0.5, in_flight=in_flight, lowest=lowest, highest=highest)
        assert lowest <= limit.value <= highest


def test_the_target_leaves_time_for_calls_of_an_efficient_size() -> None:
    slow_start = model(0.0001, 1.0)
    assert concurrency_limit.target_s(slow_start, timeout_s=2.0, max_batch_rows=256) > 3.0
    assert concurrency_limit.target_s(model(0.005, 0.0), timeout_s=2.0, max_batch_rows=256) == 0.5


def test_the_floor_fills_all_slots_and_never_falls_below_them() -> None:
    slow_start, proportional = model(0.0001, 0.1), model(0.005, 0.0)
    keywords = {"slots": 3, "max_batch_rows": 64}
    assert concurrency_limit.floor(slow_start, rows_per_request=1.0, **keywords) == 3 * 2 * 64
    assert concurrency_limit.floor(slow_start, rows_per_request=16.0, **keywords) == 3 * 2 * 4
    assert concurrency_limit.floor(proportional, rows_per_request=16.0, **keywords) == 3 * 2
