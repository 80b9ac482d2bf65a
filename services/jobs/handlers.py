"""Jobs arrive; their owners look at them and cancel them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from services.jobs import metrics
from services.jobs.dispatcher import Dispatcher
from services.jobs.messages import job_message, read_job
from services.jobs.settings import Settings
from services.jobs.store.entries import Owner, View
from services.jobs.store.jobs import JobStore
from services.jobs.waiters import Waiters
from slipway import webhook
from slipway.clock import Clock
from slipway.envelope import Event
from slipway.errors import NotFound, Overloaded
from slipway.job_terms import ENDED, LONGEST_WAIT_S
from slipway.outbox import Relay
from slipway.v1.jobs_pb2 import Job

_LOOK_AGAIN_S: Final = 1.0


class Intake:
    """Takes jobs from a topic into the table, as many as may wait there; the others wait in Kafka."""

    def __init__(self, store: JobStore, dispatcher: Dispatcher, *, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._settings = settings
        self._clock = clock

    async def take(self, events: Sequence[Event]) -> None:
        """Store a batch of one priority.

        Raises:
            InvalidInput: One of them is no job.
            Overloaded: As many wait as may; the batch is tried again.
        """
        jobs = [read_job(event) for event in events]
        by_priority = Counter(job.priority for job in jobs)
        for priority in by_priority:
            await self._check_room(priority)
        added = await self._store.add(
            list({job.job_id: job for job in jobs}.values()), now_s=self._clock.now_s()
        )
        for priority, count in by_priority.items():
            metrics.RECEIVED.labels(priority).inc(count)
        if added < len(jobs):
            metrics.DOUBLES.labels(jobs[0].priority).inc(len(jobs) - added)
        self._dispatcher.wake()

    async def _check_room(self, priority: str) -> None:
        backlog = await self._store.backlog(priority)
        if backlog.jobs >= self._settings.max_queued_jobs:
            raise Overloaded(f"{backlog.jobs} jobs of {priority} priority wait; the next ones stay in Kafka")
        if backlog.total_bytes >= self._settings.max_queued_bytes:
            raise Overloaded(f"jobs of {backlog.total_bytes} bytes wait; the next ones stay in Kafka")


class Desk:
    """What owners ask."""

    def __init__(
        self,
        store: JobStore,
        dispatcher: Dispatcher,
        *,
        waiters: Waiters,
        relay: Relay,
        clock: Clock,
        callback_key: bytes,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._waiters = waiters
        self._relay = relay
        self._clock = clock
        self._callback_key = callback_key

    async def find(self, owner: Owner, job_id: str, *, wait_s: float) -> Job:
        """A job; where it has not ended, its end is waited for.

        Raises:
            NotFound: This owner has none of this id here.
        """
        until_s = self._clock.monotonic_s() + min(wait_s, LONGEST_WAIT_S)
        with self._waiters.waiting(job_id) as ended:
            while True:
                view = await self._store.find(owner, job_id)
                left_s = until_s - self._clock.monotonic_s()
                if left_s <= 0 or self._waiters.is_full or (view is not None and view.state in ENDED):
                    return _known(view, job_id)
                try:
                    async with asyncio.timeout(min(left_s, _LOOK_AGAIN_S)):
                        await ended.wait()
                except TimeoutError:
                    continue
                ended.clear()

    async def cancel(self, owner: Owner, job_id: str) -> Job:
        """End a job, also one that has not arrived yet; returns it as it is then."""
        if await self._store.cancel(owner, job_id, now_s=self._clock.now_s()):
            metrics.ENDED.labels("CANCELLED").inc()
            self._dispatcher.drop(job_id)
            self._waiters.wake(job_id)
            self._relay.wake()
        return _known(await self._store.find(owner, job_id), job_id)

    def callback_secret(self, owner: Owner) -> str:
        """What this owner's callbacks are signed with."""
        secret = webhook.secret_of(self._callback_key, tenant=owner.tenant, principal=owner.principal)
        return webhook.text_of(secret)


def _known(view: View | None, job_id: str) -> Job:
    if view is None:
        raise NotFound(f"job {job_id[:60]!r} is not here")
    return job_message(view)
