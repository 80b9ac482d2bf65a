"""Has jobs answered: by priority, a bounded number at once, fewer when the gateway refuses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.jobs import metrics
from services.jobs.domain.pace import full_speed
from services.jobs.domain.turns import Turns
from services.jobs.domain.verdict import Again, End, Failed, Unanswered, judge
from services.jobs.gateway_client import Gateway
from services.jobs.settings import Settings
from services.jobs.store.entries import Claim, Ended
from services.jobs.store.jobs import JobStore
from services.jobs.waiters import Waiters
from slipway import postgres
from slipway.clock import Clock
from slipway.job_terms import DONE, FAILED
from slipway.outbox import Relay

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK_AGAIN_S: Final = 0.5
_DRAIN_S: Final = 4.0
_WRITE_AGAIN_S: Final = 0.5
_LEASE_SPARE_S: Final = 30.0
_MAX_MESSAGE: Final = 1000


class Dispatcher:
    """Takes jobs up and brings them to an end."""

    def __init__(
        self,
        store: JobStore,
        gateway: Gateway,
        *,
        waiters: Waiters,
        relay: Relay,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._waiters = waiters
        self._relay = relay
        self._settings = settings
        self._clock = clock
        self._turns = Turns()
        self._pace = full_speed(settings.max_parallel)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._news.set()

    def drop(self, job_id: str) -> None:
        """Stop working on a job that was cancelled: its place at the gateway is free again."""
        if job_id in self._running:
            self._running[job_id].cancel()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; what does not end soon then is put back."""
        metrics.PARALLEL_LIMIT.set(self._settings.max_parallel)
        await self._until_written(self._store.release_own)
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                claim = await self._claim()
                if claim is None:
                    await self._wait(stop)
                else:
                    self._start(group, claim)
            if self._running:
                await asyncio.wait(self._running.values(), timeout=_DRAIN_S)
            for task in self._running.values():
                task.cancel()
        try:
            await self._store.release_own()
        except postgres.FAILURES as error:
            log.warning("what was under way is put back at the next start: %r", error)

    def _start(self, group: asyncio.TaskGroup, claim: Claim) -> None:
        job_id = claim.trial.job_id
        task = group.create_task(self._work(claim))
        self._running[job_id] = task
        metrics.RUNNING.set(len(self._running))

        def forget(_: "asyncio.Task[None]") -> None:
            self._running.pop(job_id, None)
            metrics.RUNNING.set(len(self._running))
            self._news.set()

        task.add_done_callback(forget)

    async def _claim(self) -> Claim | None:
        """The next job, if there is room for one and one is due."""
        if not self._pace.has_room(len(self._running), self._clock.monotonic_s()):
            return None
        now_s = self._clock.now_s()
        until_s = now_s + self._settings.call_timeout_s + _LEASE_SPARE_S
        try:
            claim = await self._store.claim(self._turns.order(), now_s=now_s, until_s=until_s)
        except postgres.FAILURES as error:
            log.warning("jobs cannot be read: %r", error)
            return None
        if claim is not None:
            self._turns = self._turns.after(claim.priority)
        return claim

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until something is new, or a job may have become due."""
        stopping = asyncio.ensure_future(stop.wait())
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({stopping, news}, timeout=_LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            news.cancel()
        self._news.clear()

    async def _work(self, claim: Claim) -> None:
        left_s = claim.trial.expires_at_s - self._clock.now_s()
        outcome = await self._gateway.infer(claim, timeout_s=min(self._settings.call_timeout_s, left_s))
        self._set_pace(outcome)
        if isinstance(outcome, bytes):
            await self._end(claim, self._answered(claim, outcome))
            return
        verdict = judge(
            claim.trial,
            outcome,
            now_s=self._clock.now_s(),
            max_arm_failures=self._settings.max_arm_failures,
        )
        if isinstance(verdict, End):
            message = verdict.message[:_MAX_MESSAGE]
            await self._end(
                claim, self._ended(claim, state=verdict.state, code=verdict.code, message=message)
            )
        else:
            await self._put_back(claim, verdict, failure=outcome)

    def _set_pace(self, outcome: bytes | Failed | Unanswered) -> None:
        is_refusal = isinstance(outcome, Unanswered) or (isinstance(outcome, Failed) and outcome.is_overload)
        now_s = self._clock.monotonic_s()
        self._pace = self._pace.refused(now_s) if is_refusal else self._pace.answered()
        metrics.PARALLEL_LIMIT.set(int(self._pace.limit))

    def _answered(self, claim: Claim, response: bytes) -> Ended:
        limit = self._settings.max_result_bytes
        if len(response) <= limit:
            return self._ended(claim, state=DONE, response=response)
        message = f"the result has {len(response)} bytes, {limit} at most are kept: send fewer rows at once"
        return self._ended(claim, state=FAILED, code="RESOURCE_EXHAUSTED", message=message)

    def _ended(
        self, claim: Claim, *, state: str, code: str = "", message: str = "", response: bytes | None = None
    ) -> Ended:
        return Ended(
            job_id=claim.trial.job_id,
            owner=claim.owner,
            model=claim.model,
            state=state,
            code=code,
            message=message.replace("\0", ""),
            response=response,
            reply_topic="",
            submitted_at_s=claim.submitted_at_s,
            finished_at_s=self._clock.now_s(),
        )

    async def _end(self, claim: Claim, ended: Ended) -> None:
        is_mine = await self._until_written(lambda: self._store.finish(claim, ended))
        if not is_mine:
            metrics.DISCARDED.inc()
            return
        metrics.ENDED.labels(ended.state).inc()
        metrics.WAIT_SECONDS.labels(claim.priority).observe(ended.finished_at_s - ended.submitted_at_s)
        self._relay.wake()
        self._waiters.wake(ended.job_id)

    async def _put_back(self, claim: Claim, again: Again, *, failure: Failed | Unanswered) -> None:
        metrics.RETRIES.labels(failure.code).inc()
        message = failure.message[:_MAX_MESSAGE].replace("\0", "")
        await self._until_written(
            lambda: self._store.put_back(claim, again, code=failure.code, message=message)
        )

    async def _until_written(self, write: Callable[[], Awaitable[T]]) -> T:
        """Try until PostgreSQL has it: an answer that was paid for must not be lost to its restart."""
        while True:
            try:
                return await write()
            except postgres.FAILURES as error:
                log.warning("PostgreSQL did not take what became of a job: %r", error)
            await asyncio.sleep(_WRITE_AGAIN_S)
