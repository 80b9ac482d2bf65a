import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.admission import (
    CONCURRENCY,
    DEADLINE,
    QUEUE_FULL,
    REASONS,
    Load,
    Refusal,
    refuse,
    seconds_to_answer,
)
from services.gateway.domain.cost_model import CostModel

IDLE = Load(
    rows_ahead=0.0,
    queued_rows=0,
    in_flight=0,
    in_flight_ahead=0,
    running_left_s=0.0,
    slots=1,
    limit=float("inf"),
)
BUSY = IDLE._replace(rows_ahead=10.0, queued_rows=10, in_flight=10, in_flight_ahead=10)


@pytest.fixture(scope="module")
def costs() -> CostModel:
    """Ten milliseconds a row."""
    it = CostModel()
    for _ in range(100):
        for rows in (1, 2, 4, 8):
            it.observe(rows, 0.010 * rows)
    return it


def ask(
    costs: CostModel, load: Load, *, rows: int = 1, level: int = 2, left_s: float = 60.0
) -> Refusal | None:
    return refuse(costs, load, rows=rows, level=level, left_s=left_s, max_batch_rows=8, max_queued_rows=100)


def test_the_wait_counts_running_calls_full_calls_ahead_and_the_own(costs: CostModel) -> None:
    load = BUSY._replace(rows_ahead=20.0, running_left_s=0.060)
    one = seconds_to_answer(costs, load, rows=1, left_s=9.0, max_batch_rows=8)
    assert one == pytest.approx(0.060 + 2 * 0.080 + 0.050, rel=0.05)
    four = seconds_to_answer(costs, load._replace(slots=4), rows=1, left_s=9.0, max_batch_rows=8)
    assert four == pytest.approx(0.055 + 0.050, rel=0.05)


def test_an_answer_must_leave_time_for_others_to_join_the_call() -> None:
    slow_start = CostModel()
    for _ in range(100):
        for rows in (1, 2, 4, 8):
            slow_start.observe(rows, 0.001 * rows + 0.002)
    keywords = {"rows": 1, "max_batch_rows": 64}
    assert seconds_to_answer(slow_start, IDLE, left_s=9.0, **keywords) == pytest.approx(0.020, rel=0.1)
    assert seconds_to_answer(slow_start, IDLE, left_s=0.010, **keywords) == pytest.approx(0.005, rel=0.1)


def test_what_could_not_be_in_time_is_refused_with_the_time_that_is_missing(costs: CostModel) -> None:
    assert ask(costs, BUSY, left_s=0.2) is None
    refusal = ask(costs, BUSY, left_s=0.05)
    assert refusal is not None
    assert refusal.reason == DEADLINE
    assert refusal.retry_after_s == pytest.approx(0.06, rel=0.1)
    assert "the request has 0.050 s" in refusal.text


def test_nothing_is_refused_for_its_deadline_while_costs_are_unknown() -> None:
    assert ask(CostModel(), BUSY, left_s=0.001) is None


@pytest.mark.parametrize(("level", "room"), [(1, 100), (2, 90), (3, 70)])
def test_the_queue_is_full_for_lower_levels_first(costs: CostModel, level: int, room: int) -> None:
    assert ask(costs, BUSY._replace(queued_rows=room - 3), rows=3, level=level) is None
    refusal = ask(costs, BUSY._replace(queued_rows=room - 2), rows=3, level=level)
    assert refusal is not None
    assert refusal.reason == QUEUE_FULL
    assert f"{room} at most" in refusal.text


def test_an_empty_queue_is_never_full(costs: CostModel) -> None:
    assert ask(costs, IDLE._replace(running_left_s=0.01), rows=1000) is None


@pytest.mark.parametrize(("level", "room"), [(2, 36), (3, 28)])
def test_the_limit_is_met_by_lower_levels_first(costs: CostModel, level: int, room: int) -> None:
    load = BUSY._replace(limit=40.0)
    assert ask(costs, load._replace(in_flight=room - 1), level=level) is None
    refusal = ask(costs, load._replace(in_flight=room), level=level)
    assert refusal is not None
    assert refusal.reason == CONCURRENCY


def test_the_first_level_is_limited_by_itself_alone(costs: CostModel) -> None:
    load = BUSY._replace(limit=40.0, in_flight=60)
    assert ask(costs, load._replace(in_flight_ahead=39), level=1) is None
    refusal = ask(costs, load._replace(in_flight_ahead=40), level=1)
    assert refusal is not None
    assert refusal.reason == CONCURRENCY


def test_the_limit_is_never_below_the_slots(costs: CostModel) -> None:
    assert ask(costs, IDLE._replace(slots=4, limit=1.0, in_flight=2, in_flight_ahead=2)) is None


@given(
    st.builds(
        Load,
        rows_ahead=st.floats(0, 5000),
        queued_rows=st.integers(0, 5000),
        in_flight=st.integers(0, 5000),
        in_flight_ahead=st.integers(0, 5000),
        running_left_s=st.floats(0, 1000),
        slots=st.integers(1, 8),
        limit=st.floats(1, 1e6),
    ),
    st.integers(1, 3),
    st.floats(0, 100),
)
def test_a_refusal_says_why_and_when_to_come_again(load: Load, level: int, left_s: float) -> None:
    costs = CostModel()
    for _ in range(10):
        costs.observe(1, 0.01)
    refusal = ask(costs, load, level=level, left_s=left_s)
    if refusal is not None:
        assert refusal.reason in REASONS
        assert 0.005 <= refusal.retry_after_s <= 30
    if level > 1 and refusal is None:
        assert ask(costs, load, level=level - 1, left_s=left_s) is None
