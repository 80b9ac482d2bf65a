"""What this process has counted since its start: by day, way in, tenant, principal and model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from services.gateway.domain.limit_prices import Used
from services.gateway.domain.limit_windows import Window
from services.gateway.limits.rules import Asker, Bucket, Rule
from slipway.limits_file import Counts

_MOST: Final = 100_000
_MORE: Final = "(more)"


@dataclass(slots=True, eq=False)
class Totals:
    """One row: it only grows."""

    day: date
    asker: Asker
    requests: int = 0
    rows: int = 0
    tokens: int = 0
    cost: int = 0  # millionths
    compute_s: float = 0.0
    is_dirty: bool = False

    def add(self, used: Used) -> None:
        """Count one request."""
        self.requests += used.requests
        self.rows += used.rows
        self.tokens += used.tokens
        self.cost += used.cost
        self.compute_s += used.compute_s


class Usage:
    """All rows of the present and the last month."""

    def __init__(self) -> None:
        self._rows: dict[tuple[date, Asker], Totals] = {}
        self._dirty: dict[Totals, None] = {}

    @property
    def unsettled(self) -> int:
        """Rows that are not in PostgreSQL as they are."""
        return len(self._dirty)

    def row(self, day: date, asker: Asker) -> Totals:
        """Where a request counts; beyond the bound all of a tenant's further callers share one."""
        found = self._rows.get((day, asker))
        if found is None:
            if len(self._rows) >= _MOST:
                self._forget(day)
            if len(self._rows) >= _MOST:
                asker = Asker(counts=asker.counts, tenant=asker.tenant, principal=_MORE, model=_MORE)
            found = self._rows.setdefault((day, asker), Totals(day, asker))
        return found

    def add(self, row: Totals, used: Used) -> None:
        """Count one request."""
        row.add(used)
        if not row.is_dirty:
            row.is_dirty = True
            self._dirty[row] = None

    def take_dirty(self, most: int) -> list[Totals]:
        """Rows to be written; give back those that were not."""
        rows = [row for row, _ in zip(self._dirty, range(most), strict=False)]
        for row in rows:
            row.is_dirty = False
            del self._dirty[row]
        return rows

    def give_back(self, rows: Iterable[Totals]) -> None:
        """They could not be written."""
        for row in rows:
            row.is_dirty = True
            self._dirty[row] = None

    def used(self, rule: Rule, bucket: Bucket, window: Window) -> int:
        """What was counted of one bucket of a limit in a window."""
        return sum(getattr(row, rule.unit) for row in self._in(rule.counts, bucket, window))

    def _in(self, counts: Counts, bucket: Bucket, window: Window) -> Iterator[Totals]:
        for row in self._rows.values():
            asker = row.asker
            if asker.counts != counts or not window.first <= row.day < window.after:
                continue
            own = (asker.tenant, asker.principal, asker.model)
            if all(name in (None, value) for name, value in zip(bucket, own, strict=True)):
                yield row

    def _forget(self, day: date) -> None:
        """Drop written rows of earlier months."""
        first = day.replace(day=1)
        for key, row in list(self._rows.items()):
            if row.day < first and not row.is_dirty:
                del self._rows[key]
