"""Works through the requests: one training at a time per model, a few at a time in all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from services.retraining import messages
from services.retraining.metrics import DECIDED, RETRIES, TRAINING
from services.retraining.progress import ProgressBoard
from services.retraining.settings import Settings
from services.retraining.specs import SpecBook
from services.retraining.store.jobs import Job, JobStore
from services.retraining.training import Training
from slipway import postgres
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.outbox import Relay
from slipway.v1.retraining_pb2 import RetrainRequested

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK_AGAIN_S: Final = 0.5


class TrainingDesk:
    """Takes the oldest open request, has it decided, writes the decision with its event."""

    def __init__(
        self,
        jobs: JobStore,
        training: Training,
        *,
        specs: SpecBook,
        board: ProgressBoard,
        relay: Relay,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._training = training
        self._specs = specs
        self._board = board
        self._relay = relay
        self._settings = settings
        self._clock = clock
        self._busy: set[str] = set()
        self._claiming = asyncio.Lock()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that a request was stored."""
        self._news.set()

    async def refuse(self, request: RetrainRequested, reason: str) -> None:
        """Decide a request without a training."""
        await self._write(messages.insufficient(request, reason, now_s=self._clock.now_s()))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop. What is under way then is taken up again at the next start."""
        await self._specs.until_known(stop)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.parallel_trainings):
                group.create_task(self._work(stop))

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            job = await self._claim()
            if job is None:
                await self._wait()
                continue
            try:
                await _unless_stopped(self._decide(job), stop)
            finally:
                self._busy.discard(job.request.model)
                await self._board.end(job.request.model)

    async def _claim(self) -> Job | None:
        async with self._claiming:
            try:
                job = await self._jobs.claim(sorted(self._busy))
            except postgres.FAILURES as error:
                log.warning("requests cannot be read: %r", error)
                return None
            if job is not None:
                self._busy.add(job.request.model)
            return job

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def _decide(self, job: Job) -> None:
        started_s = self._clock.monotonic_s()
        log.info("training", extra={"model": job.request.model, "request": job.request.request_id})
        event = await self._find_answer(job)
        await self._until_done(lambda: self._write(event))
        TRAINING.labels(job.request.model).observe(self._clock.monotonic_s() - started_s)
        log.info("decided", extra={"model": event.model, "request": event.request_id, "reason": event.reason})

    async def _find_answer(self, job: Job) -> messages.Event:
        """Try until it is decided: a part that is away must not cost a request."""
        settings, request = self._settings, job.request
        if job.attempts > settings.max_attempts:
            return self._give_up(request, f"the service ended {job.attempts - 1} times while training")
        until_s = self._clock.monotonic_s() + settings.job_deadline_s
        while True:
            try:
                return await self._training.decide(job)
            except (SlipwayError, *postgres.FAILURES) as error:
                if self._clock.monotonic_s() > until_s:
                    return self._give_up(
                        request, f"no decision within {settings.job_deadline_s:g} s: {error}"
                    )
                RETRIES.labels(request.model).inc()
                log.warning("training begins again in %.0f s: %r", settings.retry_s, error)
                await self._board.report(
                    request.model, request.request_id, stage="waiting", message=str(error)
                )
            await asyncio.sleep(settings.retry_s)

    def _give_up(self, request: RetrainRequested, reason: str) -> messages.Event:
        return messages.insufficient(request, reason, now_s=self._clock.now_s())

    async def _write(self, event: messages.Event) -> None:
        decision = messages.decision(event)
        if await self._jobs.decide(decision):
            DECIDED.labels(event.model, decision.state).inc()
            self._relay.wake()

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await work()
            except postgres.FAILURES as error:
                log.warning("a decision cannot be written, trying again: %r", error)
            await asyncio.sleep(self._settings.retry_s)


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """The result of the work, or None when it was cancelled because of `stop`."""
    task, waiter = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        for it in (task, waiter):
            it.cancel()
        await asyncio.wait({task, waiter})
