"""What time does to feedback: rows expire, parked feedback gives up, old entries go, gauges follow."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from services.feedback import metrics
from services.feedback.domain.claim import Reason
from services.feedback.domain.join import State
from services.feedback.items import overdue
from services.feedback.settings import Settings
from services.feedback.store.housekeeping import HousekeepingStore, StateCount, Table
from slipway import postgres
from slipway.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Housekeeper:
    """Tidies up every few seconds, a batch at a time, so that joining never waits long for it."""

    store: HousekeepingStore
    settings: Settings
    clock: Clock

    async def run(self, stop: asyncio.Event) -> None:
        """Tidy up until `stop` is set; a database that is away is waited for."""
        while not stop.is_set():
            try:
                await self.tidy(self.clock.now_s())
            except postgres.AWAY as error:
                log.warning("housekeeping is waiting: %r", error)
            try:
                await asyncio.wait_for(stop.wait(), timeout=self.settings.housekeeping_every_s)
            except TimeoutError:
                continue

    async def tidy(self, now_s: float) -> None:
        """Do everything that is due at `now_s`."""
        await _until_done(lambda: self._expire_rows(now_s))
        await _until_done(lambda: self._expire_parked(now_s))
        await self._prune(now_s)
        metrics.PARKED.set(await self.store.count_parked())
        _show(await self.store.count_states())

    async def _expire_rows(self, now_s: float) -> int:
        expired = await self.store.expire_rows(now_s)
        for model, rows in expired.items():
            metrics.EXPIRED.labels(model).inc(rows)
        return sum(expired.values())

    async def _expire_parked(self, now_s: float) -> int:
        count = await self.store.expire_parked(now_s, overdue)
        metrics.QUARANTINED.labels(Reason.UNKNOWN_PREDICTION.value).inc(count)
        return count

    async def _prune(self, now_s: float) -> None:
        s, store = self.settings, self.store
        await _pruned("predictions", lambda: store.prune_old_predictions(now_s))
        await _pruned("predictions", lambda: store.prune_surplus_predictions(s.max_predictions))
        for table, cap in (
            (Table.FEEDBACK_EVENTS, s.max_feedback_events),
            (Table.FEEDBACK_SIGNALS, s.max_feedback_events),
            (Table.QUARANTINE, s.max_quarantined),
        ):
            await _pruned(table.value, self._entries_pruner(table, cap=cap, now_s=now_s))

    def _entries_pruner(self, table: Table, *, cap: int, now_s: float) -> Callable[[], Awaitable[int]]:
        before_s = now_s - self.settings.retention_s
        return lambda: self.store.prune_entries(table, before_s=before_s, max_entries=cap)


async def _pruned(table: str, step: Callable[[], Awaitable[int]]) -> None:
    metrics.PRUNED.labels(table).inc(await _until_done(step))


async def _until_done(step: Callable[[], Awaitable[int]]) -> int:
    """Repeat a batch until it finds nothing; returns the sum."""
    total = 0
    while count := await step():
        total += count
    return total


def _show(counts: Iterable[StateCount]) -> None:
    """Set the gauges; a model that is gone loses its series."""
    metrics.ROWS.clear()
    metrics.COVERAGE.clear()
    rows: dict[str, dict[str, int]] = {}
    for count in counts:
        rows.setdefault(count.model, {})[count.state] = count.rows
    for model, by_state in rows.items():
        for state in State:
            metrics.ROWS.labels(model, state.value).set(by_state.get(state.value, 0))
        metrics.COVERAGE.labels(model).set(by_state.get(State.MATCHED.value, 0) / sum(by_state.values()))
