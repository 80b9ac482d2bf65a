from datetime import UTC, date, datetime

import pytest

from services.gateway.domain.limit_windows import day_of, window_of


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> float:
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


def test_a_day_begins_and_ends_at_midnight_in_utc() -> None:
    window = window_of(at(2026, 11, 22, 23, 59), "day")
    assert (window.start_s, window.end_s) == (at(2026, 11, 22), at(2026, 11, 23))
    assert day_of(window.end_s) == date(2026, 11, 23)


@pytest.mark.parametrize(
    ("now", "first", "after"),
    [
        (at(2026, 11, 1), date(2026, 11, 1), date(2026, 12, 1)),
        (at(2026, 12, 31, 23), date(2026, 12, 1), date(2027, 1, 1)),
        (at(2028, 2, 29), date(2028, 2, 1), date(2028, 3, 1)),
    ],
)
def test_a_month_is_that_of_the_calendar(now: float, first: date, after: date) -> None:
    window = window_of(now, "month")
    assert (window.first, window.after) == (first, after)
