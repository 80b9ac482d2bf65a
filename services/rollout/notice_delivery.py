"""Brings notices to their receivers: at least once, each model and receiver in a lane of its own."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from services.rollout import metrics
from services.rollout.notice_store import NoticeRow, NoticeStore
from slipway import webhook
from slipway.callback_urls import CallbackPolicy
from slipway.clock import Clock
from slipway.errors import Denied, InvalidInput, SlipwayError, Unavailable
from slipway.pauses import pause

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
_TIDY_EVERY_S: Final = 15.0
_LEASE_SPARE_S: Final = 20.0
_KEPT_S: Final = 7 * 24 * 3600.0
_LONGEST_REASON: Final = 500


class Poster(Protocol):
    """What brings a body to a URL."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Return when the receiver has it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a delivery may take.

    Attributes:
        parallel: Posts at once.
        timeout_s: Of one try.
        deadline_s: Older notices are given up.
        most_pending: Of one model; the oldest beyond are given up.
    """

    parallel: int
    timeout_s: float
    deadline_s: float
    most_pending: int


class NoticeDelivery:
    """A bounded number of posts at once; who is slow or away keeps nobody else waiting."""

    def __init__(
        self,
        store: NoticeStore,
        http: Poster,
        *,
        policy: CallbackPolicy,
        bounds: Bounds,
        clock: Clock,
        key: bytes,
    ) -> None:
        self._store = store
        self._http = http
        self._policy = policy
        self._bounds = bounds
        self._clock = clock
        self._key = key
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._tidy_at_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop; what is under way then is delivered again at the next start."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                for row in await self._claim():
                    self._begin(group, row)
                await self._tidy()
                await pause(stop, _LOOK_S)
            for task in self._under_way.values():
                task.cancel()

    def _begin(self, group: asyncio.TaskGroup, row: NoticeRow) -> None:
        task = group.create_task(self._deliver(row))
        self._under_way[row.lane] = task
        task.add_done_callback(lambda _: self._under_way.pop(row.lane, None))

    async def _claim(self) -> list[NoticeRow]:
        free = self._bounds.parallel - len(self._under_way)
        if free < 1:
            return []
        now_s = self._clock.now_s()
        until_s = now_s + self._bounds.timeout_s + _LEASE_SPARE_S
        try:
            return await self._store.claim(
                now_s=now_s, until_s=until_s, busy=list(self._under_way), limit=free
            )
        except SlipwayError as error:
            log.warning("notices cannot be read: %s", error)
            return []

    async def _deliver(self, row: NoticeRow) -> None:
        outcome, reason, retry_at_s = "delivered", "", None
        deadline_s = row.created_at_s + self._bounds.deadline_s
        try:
            # The list may have become shorter since the spec was applied.
            self._policy.check_url(row.url, key="notice")
            await self._http.post(row.url, row.body, self._headers(row))
        except (Denied, InvalidInput) as error:
            outcome, reason = "denied", str(error)
        except Unavailable as error:
            outcome, reason = "failed", str(error)
            retry_at_s = webhook.next_try_s(row.tries, now_s=self._clock.now_s(), deadline_s=deadline_s)
        metrics.NOTICES.labels(outcome).inc()
        await self._note(row, is_delivered=outcome == "delivered", reason=reason, retry_at_s=retry_at_s)

    async def _note(
        self, row: NoticeRow, *, is_delivered: bool, reason: str, retry_at_s: float | None
    ) -> None:
        reason = reason.replace("\0", "")[:_LONGEST_REASON]
        try:
            if is_delivered:
                await self._store.deliver(row.id)
            elif retry_at_s is not None:
                await self._store.retry(row.id, due_s=retry_at_s, reason=reason)
            else:
                metrics.NOTICES.labels("given_up").inc()
                log.warning(
                    "notice given up",
                    extra={"notice": row.id, "receiver": receiver_of(row.url), "why": reason},
                )
                await self._store.give_up(row.id, reason=reason)
        except SlipwayError as error:
            log.warning("a notice is sent again after its lease: %s", error)

    def _headers(self, row: NoticeRow) -> dict[str, str]:
        secret = webhook.notice_secret_of(self._key, tenant=row.tenant, model=row.model)
        signed = webhook.headers(secret, row.body, message_id=row.id, now_s=self._clock.now_s())
        return {**signed, "idempotency-key": row.id}

    async def _tidy(self) -> None:
        now_s = self._clock.now_s()
        if now_s < self._tidy_at_s:
            return
        self._tidy_at_s = now_s + _TIDY_EVERY_S
        try:
            dropped, waiting = await self._store.tidy(
                most_pending=self._bounds.most_pending, delete_before_s=now_s - _KEPT_S
            )
        except SlipwayError as error:
            log.warning("notices cannot be tidied: %s", error)
            return
        metrics.NOTICES.labels("given_up").inc(dropped)
        metrics.NOTICES_PENDING.set(waiting)


def receiver_of(url: str) -> str:
    """Scheme and host of a receiver: the path of a chat's URL is its secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
