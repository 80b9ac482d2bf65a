"""Kafka made small: a producer that loses nothing, and a consumer loop that stops at nothing.

The loop reads a bounded batch, hands it to one handler, commits after the handler has finished.
Delivery is at least once, so handlers are idempotent. A poison message goes to `<topic>.dlq` with
the reason, and the partition goes on.
"""

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from slipway.envelope import Outgoing
from slipway.errors import InvalidInput, SlipwayError, Unavailable
from slipway.kafka_access import client_options
from slipway.kafka_batches import batches_of
from slipway.kafka_lag import watched_lag
from slipway.kafka_precedence import Precedence
from slipway.kafka_records import dead_letter, decode_record

log = logging.getLogger(__name__)

Read = Callable[[ConsumerRecord], Any]
"""What a handler takes in place of a record, None for nothing; InvalidInput sends it to the dead letters."""
Handler = Callable[[Sequence[Any]], Awaitable[None]]
"""Handles what was read of a batch, in order."""

CONSUMED = Counter("slipway_kafka_consumed_total", "Messages handled", ["topic", "group"])
DEAD_LETTERED = Counter("slipway_kafka_dead_lettered_total", "Poison messages set aside", ["topic", "group"])
RETRIED = Counter("slipway_kafka_batch_retries_total", "Batches tried again after a failure", ["group"])

_SEND_DEADLINE_S: Final = 30.0
_REPLACE_DEADLINE_S: Final = 5.0
_BATCH_BYTES: Final = 512 * 1024
POLL_MS: Final = 200
_RETRY_FIRST_S: Final = 0.2
_RETRY_LIMIT_S: Final = 5.0


class Producer:
    """An idempotent producer with `acks=all`; returns only when the broker has everything."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer = self._new()
        self._broken: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()

    async def start(self) -> None:
        """Connect, waiting for a broker that is not up yet."""
        await connect(self._producer.start)

    async def stop(self) -> None:
        """Flush what is buffered, then disconnect."""
        await self._producer.stop()

    async def publish(self, messages: Iterable[Outgoing]) -> None:
        """Send all and wait for the broker's acknowledgement of each.

        Raises:
            Unavailable: The broker did not acknowledge in time. Some may have arrived: send all again.
        """
        current = await self._at_work()
        try:
            async with asyncio.timeout(_SEND_DEADLINE_S):
                delivered = []
                for topic, partition, batch in await batches_of(current, messages):
                    delivered.append(await current.send_batch(batch, topic, partition=partition))
                await asyncio.gather(*delivered)
        except (KafkaError, TimeoutError) as error:
            self._broken = current
            raise Unavailable(f"Kafka did not take the messages: {error!r}") from error

    def _new(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._bootstrap),
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            max_request_size=8 * 1024 * 1024,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=15_000,
        )

    async def _at_work(self) -> AIOKafkaProducer:
        """The producer, a new one after a failure.

        A batch that expired leaves a gap in the sequence of its producer id, and the broker then
        refuses everything that follows with OutOfOrderSequenceNumber, for ever.
        """
        async with self._replacing:
            if self._broken is self._producer:
                fresh = self._new()
                try:
                    async with asyncio.timeout(_REPLACE_DEADLINE_S):
                        await fresh.start()
                except (KafkaError, TimeoutError) as error:
                    await _abandon(fresh)
                    raise Unavailable(f"Kafka is not reachable: {error!r}") from error
                await _abandon(self._producer)
                self._producer, self._broken = fresh, None
            return self._producer


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer that may not be able to flush any more."""
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(_REPLACE_DEADLINE_S):
            await producer.stop()


@asynccontextmanager
async def producer(bootstrap: str) -> AsyncIterator[Producer]:
    """A connected producer, flushed and closed at the end."""
    it = Producer(bootstrap)
    await it.start()
    try:
        yield it
    finally:
        await it.stop()


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """Who reads what, and how much at once.

    `instance` names this member of the group for good (KIP-345): killed and started again it takes its own
    place at once, where a nameless one waits until the broker has given up its predecessor. No two
    processes of a group may share a name; "" is nameless.

    The topics of `first` are read up before the others.
    """

    bootstrap: str
    group: str
    topics: tuple[str, ...]
    instance: str = ""
    first: tuple[str, ...] = ()
    max_batch: int = 500


class ConsumerLoop:
    """Read, handle, commit, until told to stop; the batch under way is finished first."""

    def __init__(
        self,
        subscription: Subscription,
        handle: Handler,
        *,
        dead_letters: Producer,
        read: Read = decode_record,
    ) -> None:
        self._subscription = subscription
        self._handle = handle
        self._read = read
        self._dead_letters = dead_letters
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether the group has been joined."""
        return self._is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        s = self._subscription
        consumer = AIOKafkaConsumer(
            *s.topics,
            **client_options(s.bootstrap),
            group_id=s.group,
            group_instance_id=s.instance or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,
            max_poll_interval_ms=300_000,
        )
        await connect(consumer.start)
        self._is_ready = True
        try:
            async with watched_lag(consumer, s.group):
                await self._consume(consumer, stop)
        finally:
            self._is_ready = False
            await consumer.stop()

    async def _consume(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        s, loop = self._subscription, asyncio.get_running_loop()
        precedence = Precedence(s.first, bearable=s.max_batch)
        while not stop.is_set():
            due = await precedence.due(consumer, loop.time())
            batches = await consumer.getmany(*due, timeout_ms=POLL_MS, max_records=s.max_batch)
            records = [record for batch in batches.values() for record in batch]
            if records:
                await self._until_handled(records, stop)
                await _commit(consumer, records)

    async def _until_handled(self, records: list[ConsumerRecord], stop: asyncio.Event) -> None:
        """Try a batch until it is handled; a failure of a part that is away must not lose it."""
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                await self._handle_batch(records)
                return
            except Exception as error:
                if stop.is_set():
                    raise
                RETRIED.labels(self._subscription.group).inc()
                log.warning(
                    "batch failed, trying again in %.1f s: %r", delay_s, error, exc_info=_unnamed(error)
                )
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_LIMIT_S)

    async def _handle_batch(self, records: list[ConsumerRecord]) -> None:
        items: list[Any] = []
        sources: list[ConsumerRecord] = []
        counts: Tally[str] = Tally()
        for record in records:
            try:
                item = self._read(record)
            except InvalidInput as error:
                await self._set_aside(record, str(error))
                continue
            counts[record.topic] += 1
            if item is not None:
                items.append(item)
                sources.append(record)
        if items:
            try:
                await self._handle(items)
            except InvalidInput:
                await self._one_by_one(items, sources)
        for topic, count in counts.items():
            CONSUMED.labels(topic, self._subscription.group).inc(count)

    async def _one_by_one(self, items: list[Any], records: list[ConsumerRecord]) -> None:
        """One of the batch is poison: find it without losing its neighbours."""
        for item, record in zip(items, records, strict=True):
            try:
                await self._handle([item])
            except InvalidInput as error:
                await self._set_aside(record, str(error))

    async def _set_aside(self, record: ConsumerRecord, reason: str) -> None:
        DEAD_LETTERED.labels(record.topic, self._subscription.group).inc()
        log.warning(
            "dead letter",
            extra={
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "reason": reason,
            },
        )
        await self._dead_letters.publish([dead_letter(record, group=self._subscription.group, reason=reason)])


async def _commit(consumer: AIOKafkaConsumer, records: list[ConsumerRecord]) -> None:
    """Commit behind what was handled; a lost commit only means that a batch is read again."""
    try:
        await consumer.commit()
    except KafkaError as error:
        log.warning("commit failed, %d messages will be read again: %r", len(records), error)


async def connect(start: Callable[[], Awaitable[None]]) -> None:
    """Wait for a broker that is away: a service comes up before or after Kafka, in any order."""
    delay_s = _RETRY_FIRST_S
    while True:
        try:
            await start()
            return
        except KafkaError as error:
            log.warning("Kafka is not reachable, trying again in %.1f s: %r", delay_s, error)
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, _RETRY_LIMIT_S)


def _unnamed(error: Exception) -> bool:
    """Whether the failure is one nobody foresaw: then the log wants its trace."""
    return not isinstance(error, SlipwayError | OSError)
