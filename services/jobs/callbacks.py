"""Brings results to their callback URLs."""

import asyncio
import logging
from typing import Final, Protocol

import orjson

from services.jobs import metrics
from services.jobs.messages import job_message
from services.jobs.settings import Settings
from services.jobs.store.callbacks import CallbackStore
from services.jobs.store.entries import DueCallback
from slipway import postgres, webhook
from slipway.clock import Clock
from slipway.errors import Denied, InvalidInput, Unavailable
from slipway.job_json import describe
from slipway.pauses import pause

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
_LEASE_SPARE_S: Final = 20.0
_DELIVERED: Final = "DELIVERED"


class Poster(Protocol):
    """What brings a body to a URL."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Return when the receiver has it."""
        ...


class CallbackDelivery:
    """A bounded number of deliveries at once, each tried until its deadline."""

    def __init__(
        self, store: CallbackStore, http: Poster, *, settings: Settings, clock: Clock, key: bytes
    ) -> None:
        self._store = store
        self._http = http
        self._settings = settings
        self._policy = settings.callback_policy()
        self._clock = clock
        self._key = key

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop; what is under way then is delivered again at the next start."""
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                free = self._settings.parallel_callbacks - len(under_way)
                for due in await self._claim(free):
                    task = group.create_task(self._deliver(due))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await pause(stop, _LOOK_S)
            for task in under_way:
                task.cancel()

    async def _claim(self, limit: int) -> list[DueCallback]:
        if limit < 1:
            return []
        now_s = self._clock.now_s()
        until_s = now_s + self._settings.callback_timeout_s + _LEASE_SPARE_S
        try:
            return await self._store.claim(now_s=now_s, until_s=until_s, limit=limit)
        except postgres.FAILURES as error:
            log.warning("callbacks cannot be read: %r", error)
            return []

    async def _deliver(self, due: DueCallback) -> None:
        outcome, reason, retry_at_s = _DELIVERED, "", None
        try:
            # The list may have become shorter since the job was submitted.
            self._policy.check_url(due.url)
            body = orjson.dumps(describe(job_message(due.job)))
            await self._http.post(due.url, body, self._signature(due, body))
        except (Denied, InvalidInput) as error:
            outcome, reason = "DENIED", str(error)
        except Unavailable as error:
            outcome, reason = "FAILED", str(error)
            retry_at_s = webhook.next_try_s(due.tries, now_s=self._clock.now_s(), deadline_s=due.deadline_s)
        metrics.CALLBACKS.labels(outcome.lower()).inc()
        await self._note(due, outcome=outcome, reason=reason, retry_at_s=retry_at_s)

    async def _note(self, due: DueCallback, *, outcome: str, reason: str, retry_at_s: float | None) -> None:
        job_id, reason = due.job.job_id, reason.replace("\0", "")[:500]
        try:
            if outcome == _DELIVERED:
                await self._store.deliver(job_id)
            elif retry_at_s is not None:
                await self._store.retry(job_id, due_s=retry_at_s, reason=reason)
            else:
                log.warning("callback given up", extra={"job": job_id, "url": due.url, "reason": reason})
                await self._store.give_up(job_id, reason=reason)
        except postgres.FAILURES as error:
            log.warning("a callback is tried again after its lease: %r", error)

    def _signature(self, due: DueCallback, body: bytes) -> dict[str, str]:
        secret = webhook.secret_of(self._key, tenant=due.owner.tenant, principal=due.owner.principal)
        return webhook.headers(secret, body, message_id=due.job.job_id, now_s=self._clock.now_s())
