"""The days and months of budgets, by the calendar, in UTC."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From its first day on, until the day after its last one."""

    first: date
    after: date

    @property
    def start_s(self) -> float:
        """Seconds since the epoch."""
        return _midnight_s(self.first)

    @property
    def end_s(self) -> float:
        """Seconds since the epoch."""
        return _midnight_s(self.after)


def day_of(now_s: float) -> date:
    """The day in UTC."""
    return datetime.fromtimestamp(now_s, UTC).date()


def window_of(now_s: float, per: Literal["day", "month"]) -> Window:
    """The day or month that a moment lies in."""
    day = day_of(now_s)
    if per == "day":
        return Window(first=day, after=day + timedelta(days=1))
    first = day.replace(day=1)
    return Window(first=first, after=(first + timedelta(days=32)).replace(day=1))


def _midnight_s(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
