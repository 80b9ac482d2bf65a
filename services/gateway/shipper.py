"""Carries a spool to Kafka in batches, behind the answers."""

import asyncio
import logging
from contextlib import suppress
from typing import Final, Protocol

from services.gateway import metrics
from services.gateway.spool import Spool
from slipway.changes import waking
from slipway.envelope import Outgoing
from slipway.errors import Unavailable
from slipway.kafka import Producer

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_SAVE_EVERY_S: Final = 0.2
# A batch costs the gateway and the broker as much as some fifty records: a few wait for others, on disk.
_SMALL: Final = 100
_LINGER_S: Final = 0.01
_LINGERS: Final = 5
_RETRY_S: Final = 1.0
_CLOSE_S: Final = 5.0


class Publisher(Protocol):
    """What takes messages for good."""

    async def publish(self, messages: list[Outgoing], /) -> None:
        """Return when all are safe."""
        ...


class Shipper:
    """One spool, one producer. At least once: after a crash the last few records go twice."""

    def __init__(self, spool: Spool, bootstrap: str) -> None:
        self._spool = spool
        self._bootstrap = bootstrap
        self._saved = spool.position
        self._is_connected = False
        self._owed_since_s: float | None = None  # records were offered and have not been acknowledged

    def owed_s(self) -> float:
        """How long Kafka has owed an acknowledgement; 0 where it owes none."""
        if self._owed_since_s is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._owed_since_s

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until `stop` is set and the spool is empty, or Kafka is away at the end."""
        self._owed_since_s = asyncio.get_running_loop().time()
        async with waking(self._spool.changes, stop):
            while not stop.is_set():
                stopping = asyncio.ensure_future(stop.wait())
                connecting = asyncio.ensure_future(self._ship_connected(stop))
                await asyncio.wait({stopping, connecting}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                await self._finish(connecting, is_stopping=stop.is_set())
        self._save()

    async def _finish(self, work: "asyncio.Future[None]", *, is_stopping: bool) -> None:
        if is_stopping and not work.done():
            if self._is_connected:
                await asyncio.wait({work}, timeout=_CLOSE_S)
            if not work.done():
                if self._spool.backlog_bytes:
                    log.warning("stopping with a backlog", extra={"bytes": self._spool.backlog_bytes})
                work.cancel()
                await asyncio.wait({work}, timeout=_CLOSE_S)
        if work.done() and not work.cancelled():
            work.result()

    async def _ship_connected(self, stop: asyncio.Event) -> None:
        """Ship with one producer until it fails: after a failure only a new one has clean sequences."""
        producer = Producer(self._bootstrap)
        try:
            await producer.start()
            self._is_connected = True
            await self._ship(producer, stop)
        except Unavailable as error:
            log.warning("spool %s waits: %s", self._spool.name, error)
            await asyncio.sleep(_RETRY_S)
        finally:
            self._is_connected = False
            await _close(producer)

    async def _ship(self, producer: Publisher, stop: asyncio.Event) -> None:
        last_save_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            revision = self._spool.changes.revision
            messages, position = self._spool.read()
            if messages:
                if self._owed_since_s is None:
                    self._owed_since_s = loop.time()
                await producer.publish(messages)
                self._spool.advance(position)
                metrics.SPOOL_SHIPPED.labels(self._spool.name).inc(len(messages))
            self._owed_since_s = None
            if loop.time() - last_save_s >= _SAVE_EVERY_S:
                await asyncio.to_thread(self._save)
                last_save_s = loop.time()
            if messages:
                if len(messages) < _SMALL and not stop.is_set():
                    await self._linger()
                continue
            if stop.is_set():
                return
            is_saved = self._saved == self._spool.position
            await self._spool.changes.wait_beyond(revision, timeout_s=_LOOK_S if is_saved else _SAVE_EVERY_S)

    async def _linger(self) -> None:
        """Let some records come together, unless an answer waits for one of them."""
        for _ in range(_LINGERS):
            if self._spool.shipped.is_awaited:
                break
            await asyncio.sleep(_LINGER_S)

    def _save(self) -> None:
        self._spool.measure()
        position = self._spool.position
        if self._saved == position:
            return
        try:
            self._spool.save_position()
        except OSError as error:  # a full disk: a crash now would ship more than a little twice
            log.warning("the position of spool %s cannot be written: %r", self._spool.name, error)
            return
        self._saved = position


async def _close(producer: Producer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), timeout=_CLOSE_S)
    except TimeoutError:
        log.warning("the Kafka producer did not close in %.0f s", _CLOSE_S)


async def keep_measured(spool: Spool, stop: asyncio.Event) -> None:
    """Set the gauges of a spool now and then: also while nothing is shipped, when they matter most."""
    while not stop.is_set():
        spool.measure()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await stop.wait()
