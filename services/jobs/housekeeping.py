"""Jobs expire, results are deleted, and what is left is counted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from services.jobs import metrics
from services.jobs.dispatcher import Dispatcher
from services.jobs.settings import Settings
from services.jobs.store.housekeeping import HousekeepingStore
from services.jobs.store.jobs import JobStore
from services.jobs.waiters import Waiters
from slipway import postgres
from slipway.clock import Clock
from slipway.job_terms import EXPIRED, PRIORITIES
from slipway.outbox import Relay

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5


class Timekeeper:
    """Ends the jobs whose time ran out, and puts back those whose process died."""

    def __init__(
        self,
        store: JobStore,
        dispatcher: Dispatcher,
        *,
        waiters: Waiters,
        relay: Relay,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._waiters = waiters
        self._relay = relay
        self._settings = settings
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Look twice a second until told to stop."""
        await _now_and_then(self.look, stop, every_s=_LOOK_S)

    async def look(self) -> None:
        """Once."""
        now_s = self._clock.now_s()
        expired = await self._store.expire(now_s=now_s, limit=self._settings.housekeeping_batch_rows)
        for job_id in expired:
            self._waiters.wake(job_id)
        if expired:
            metrics.ENDED.labels(EXPIRED).inc(len(expired))
            self._relay.wake()
        released = await self._store.release_overdue(now_s=now_s)
        if released:
            metrics.RECLAIMED.inc(released)
            self._dispatcher.wake()


class Housekeeper:
    """Keeps what is kept within its bounds."""

    def __init__(self, store: HousekeepingStore, *, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Tidy now and then until told to stop."""
        await _now_and_then(self.tidy, stop, every_s=self._settings.housekeeping_every_s)

    async def tidy(self) -> None:
        """Once."""
        settings, now_s = self._settings, self._clock.now_s()
        while deleted := await self._store.forget_results(before_s=now_s - settings.result_ttl_s):
            metrics.RESULTS_DELETED.labels("age").inc(deleted)
        while deleted := await self._store.forget_surplus(max_bytes=settings.max_results_bytes):
            metrics.RESULTS_DELETED.labels("space").inc(deleted)
        while await self._store.prune(before_s=now_s - settings.job_retention_s, max_jobs=settings.max_jobs):
            pass
        counts = await self._store.count()
        for priority in PRIORITIES:
            metrics.QUEUED.labels(priority).set(counts.queued.get(priority, 0))
        metrics.RESULTS_BYTES.set(counts.results_bytes)
        metrics.CALLBACKS_PENDING.set(counts.callbacks_pending)


async def _now_and_then(work: Callable[[], Awaitable[None]], stop: asyncio.Event, *, every_s: float) -> None:
    while not stop.is_set():
        try:
            await work()
        except postgres.FAILURES as error:
            log.warning("housekeeping waits: %r", error)
        try:
            async with asyncio.timeout(every_s):
                await stop.wait()
        except TimeoutError:
            continue
