"""Answers that all gateways share, in Redis or Valkey: asked within a budget, written behind the answer."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.domain.caching import Breaker
from slipway.changes import until
from slipway.clock import Clock

log = logging.getLogger(__name__)

_SOCKET_TIMEOUT_S: Final = 0.25  # ends a call whose requests have long gone on without it
_MAX_ASKED: Final = 1024
_MAX_TOGETHER: Final = 64
_MAX_WRITES: Final = 1024
_MAX_WRITE_BYTES: Final = 8 * 1024 * 1024
_LARGEST_BYTES: Final = 1024 * 1024
# RuntimeError is what uvloop says of a connection that was closed under a write.
_FAILURES: Final = (RedisError, OSError, RuntimeError)


def connect(url: str, *, timeout_s: float = _SOCKET_TIMEOUT_S) -> Redis:
    """A client that never tries twice: whoever waits has something better to do."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=4,
        protocol=2,
    )
    return client


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    name: str
    value: bytes
    ttl_s: float


class SharedTier:
    """Lookups that wait together go in one call; a store that is slow or gone is left alone for a while."""

    def __init__(self, client: Redis, clock: Clock, *, budget_s: float) -> None:
        self._client = client
        self._clock = clock
        self._budget_s = budget_s
        self._breaker = Breaker()
        self._asked: deque[tuple[str, asyncio.Future[bytes | None]]] = deque()
        self._has_asked = asyncio.Event()
        self._writes: deque[_Write] = deque()
        self._write_bytes = 0
        self._has_writes = asyncio.Event()
        self._is_resting = asyncio.Event()
        metrics.CACHE_SHARED_STATE.set(1)

    @property
    def is_in_use(self) -> bool:
        """Whether it is asked at present."""
        return not self._breaker.is_open

    async def get(self, name: str, *, deadline_s: float) -> bytes | None:
        """A value, or None: not there, or not in time. Never takes longer than the budget."""
        if self._breaker.is_open:
            return None
        if len(self._asked) >= _MAX_ASKED:
            metrics.CACHE_ABANDONED.inc()
            return None
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | None] = loop.create_future()
        self._asked.append((name, answer))
        self._has_asked.set()
        wait_s = min(self._budget_s, deadline_s - self._clock.monotonic_s())
        timer = loop.call_later(max(0.0, wait_s), self._abandon, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value, some time behind the answer; dropped and counted where there is no room."""
        if self._breaker.is_open:
            metrics.CACHE_WRITES.labels("resting").inc()
        elif len(value) > _LARGEST_BYTES:
            metrics.CACHE_WRITES.labels("too_large").inc()
        elif len(self._writes) >= _MAX_WRITES or self._write_bytes + len(value) > _MAX_WRITE_BYTES:
            metrics.CACHE_WRITES.labels("overflow").inc()
        else:
            self._writes.append(_Write(name=name, value=value, ttl_s=ttl_s))
            self._write_bytes += len(value)
            self._has_writes.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Carry lookups and writes until `stop` is set."""
        try:
            await until(stop, self._work)
        finally:
            self._let_go()
            await self._client.aclose()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_forever())
            tasks.create_task(self._write_forever())
            tasks.create_task(self._probe_forever())

    async def _read_forever(self) -> None:
        while True:
            await self._has_asked.wait()
            self._has_asked.clear()
            while self._asked:
                count = min(len(self._asked), _MAX_TOGETHER)
                await self._read([self._asked.popleft() for _ in range(count)])

    async def _read(self, asked: list[tuple[str, "asyncio.Future[bytes | None]"]]) -> None:
        waiting = [(name, answer) for name, answer in asked if not answer.done()]
        if not waiting:
            return
        values: list[bytes | str | None] = [None] * len(waiting)
        try:
            values = await self._client.mget([name for name, _ in waiting])
        except _FAILURES as error:
            self._fail("read", error)
        finally:  # also when this loop ends: nobody is left waiting
            self._settle(waiting, values)

    def _settle(
        self,
        waiting: "list[tuple[str, asyncio.Future[bytes | None]]]",
        values: list[bytes | str | None],
    ) -> None:
        for (_, answer), value in zip(waiting, values, strict=True):
            if not answer.done():
                answer.set_result(value if isinstance(value, bytes) else None)
                self._breaker = self._breaker.answered()

    def _abandon(self, answer: "asyncio.Future[bytes | None]") -> None:
        if answer.done():
            return
        answer.set_result(None)
        metrics.CACHE_ABANDONED.inc()
        self._set(self._breaker.was_slow(self._clock.monotonic_s()), why="slower than its budget")

    async def _write_forever(self) -> None:
        while True:
            await self._has_writes.wait()
            self._has_writes.clear()
            while self._writes:
                count = min(len(self._writes), _MAX_TOGETHER)
                await self._write([self._writes.popleft() for _ in range(count)])

    async def _write(self, writes: list[_Write]) -> None:
        self._write_bytes -= sum(len(write.value) for write in writes)
        pipeline = self._client.pipeline(transaction=False)
        for write in writes:
            pipeline.set(write.name, write.value, px=max(1, int(write.ttl_s * 1000)))
        try:
            await pipeline.execute()
        except _FAILURES as error:
            metrics.CACHE_WRITES.labels("failed").inc(len(writes))
            self._fail("write", error)
        else:
            metrics.CACHE_WRITES.labels("written").inc(len(writes))

    async def _probe_forever(self) -> None:
        while True:
            await self._is_resting.wait()
            await asyncio.sleep(max(0.0, self._breaker.until_s - self._clock.monotonic_s()))
            await self._probe()

    async def _probe(self) -> None:
        """Ask on nobody's account; the first call may have to connect, the second tells."""
        try:
            await self._client.ping()
            await self._client.ping()
        except _FAILURES as error:
            self._fail("probe", error)
        else:
            self._set(self._breaker.probed(), why="answers again")

    def _fail(self, operation: str, error: Exception) -> None:
        metrics.CACHE_SHARED_ERRORS.labels(operation).inc()
        if self._breaker.is_open and operation != "probe":
            return  # a call from before it was left alone: known already
        self._set(self._breaker.failed(self._clock.monotonic_s()), why=type(error).__name__)

    def _set(self, breaker: Breaker, *, why: str) -> None:
        """Take a new state, and say so once."""
        was_open, self._breaker = self._breaker.is_open, breaker
        if breaker.is_open == was_open:
            return
        metrics.CACHE_SHARED_STATE.set(not breaker.is_open)
        if breaker.is_open:
            log.warning("the shared cache is left alone", extra={"reason": why})
            self._is_resting.set()
        else:
            log.info("the shared cache is used again", extra={"reason": why})
            self._is_resting.clear()

    def _let_go(self) -> None:
        for _, answer in self._asked:
            if not answer.done():
                answer.set_result(None)
