from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.waiting_line import WaitingLine


@dataclass(frozen=True, eq=False, kw_only=True)
class Waiter:
    level: int = 2
    queued_s: float = 0.0
    rows: int = 1
    size_bytes: int = 0
    deadline_s: float = 100.0


def line_of(*waiters: Waiter) -> WaitingLine[Waiter]:
    line: WaitingLine[Waiter] = WaitingLine()
    for waiter in waiters:
        line.add(waiter)
    return line


COMERS = st.lists(st.tuples(st.integers(1, 3), st.floats(0, 3), st.integers(1, 9)), max_size=40).map(
    lambda all_: [Waiter(level=p, queued_s=t, rows=r) for p, t, r in sorted(all_, key=lambda x: x[1])]
)


@given(COMERS, st.floats(0.1, 10))
def test_nobody_is_overtaken_by_one_who_came_much_later(waiters: list[Waiter], timeout_s: float) -> None:
    order = list(line_of(*waiters).in_order(timeout_s))
    assert sorted(map(id, order)) == sorted(map(id, waiters))
    for place, waiter in enumerate(order):
        for later in order[place + 1 :]:
            lead_s = (waiter.level - later.level) * timeout_s / 4
            assert waiter.queued_s + lead_s <= later.queued_s + 1e-6


@given(COMERS, st.integers(1, 3))
def test_rows_ahead_are_between_those_of_the_level_and_all(waiters: list[Waiter], level: int) -> None:
    line = line_of(*waiters)
    ahead = line.rows_ahead(level, now_s=3.0, timeout_s=4.0)
    certain = sum(w.rows for w in waiters if w.level <= level)
    assert certain <= ahead <= line.rows + 1e-9
    assert line.rows_ahead(3, now_s=3.0, timeout_s=4.0) == line.rows


def test_of_a_lower_level_only_those_older_than_the_lead_are_ahead() -> None:
    line = line_of(Waiter(level=2, rows=4, queued_s=0.0), Waiter(level=2, rows=4, queued_s=1.5))
    assert line.rows_ahead(1, now_s=2.0, timeout_s=4.0) == 4.0
    assert line.rows_ahead(1, now_s=0.5, timeout_s=4.0) == 0.0
    assert line.rows_ahead(1, now_s=0.0, timeout_s=4.0) == 0.0


def test_a_place_is_given_back_once() -> None:
    first, second = Waiter(rows=3), Waiter(rows=2, level=1)
    line = line_of(first, second)
    assert (line.rows, line.count) == (5, 2)
    assert line.remove(first)
    assert not line.remove(first)
    assert (line.rows, line.count) == (2, 1)
    assert list(line.in_order(1.0)) == [second]
