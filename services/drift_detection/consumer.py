"""The edge to Kafka: a Faust worker inside the service's own event loop.

Faust brings what a plain consumer lacks: tables whose changelogs are topics, partitioned like their
sources. It is given raw bytes, because it acknowledges what it cannot decode.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import faust
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.drift_detection import metrics
from services.drift_detection.recovery import OrderedTableManager
from services.drift_detection.settings import Settings
from slipway.envelope import Event, decode
from slipway.errors import InvalidInput, Unavailable
from slipway.kafka import CONSUMED, DEAD_LETTERED, RETRIED, Producer
from slipway.kafka_access import MECHANISM, client_options, parse
from slipway.kafka_records import dead_letter
from slipway.recently_seen import RecentlySeen
from slipway.topics import DRIFT_BLOCKS, LABELS, PREDICTIONS, Topic

log = logging.getLogger(__name__)

Read = Callable[[Event], Any]
"""What is wanted of one event, None for nothing; InvalidInput sends it to the dead letters."""
Handle = Callable[[str, int, Sequence[Any]], Awaitable[None]]
"""Handles what was read of one partition: topic, partition, items in order."""

# Every batch publishes how far the open slots are filled: the larger, the fewer blocks.
_MAX_BATCH: Final = 1024
# One look at what came in meanwhile: a lone record waits this long, a flood is counted in one go.
_GATHER_S: Final = 0.01
_COMMIT_S: Final = 0.05
_SESSION_S: Final = 10.0
_RETRY_S: Final = 0.5
_STOP_S: Final = 8.0
_WRITE_DEADLINE_S: Final = 30.0
_REMEMBERED: Final = 8192
_CHANGELOG: Final = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(8 * 1024 * 1024),
}


class Streams:
    """The Faust app with one agent per source topic."""

    def __init__(self, settings: Settings, dead_letters: Producer) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._group = settings.drift_app_id
        self._dead_letters = dead_letters
        self._is_started = False
        self._app = faust.App(
            settings.drift_app_id,
            **_broker(settings.kafka_bootstrap),
            store="memory://",
            datadir=str(settings.state_dir / "faust"),
            web_enabled=False,
            topic_disable_leader=True,
            topic_partitions=PREDICTIONS.partitions,
            table_standby_replicas=0,
            TableManager=OrderedTableManager,
            stream_buffer_maxsize=_MAX_BATCH,
            producer_max_request_size=8 * 1024 * 1024,
            producer_request_timeout=_WRITE_DEADLINE_S,
            broker_commit_interval=_COMMIT_S,
            broker_session_timeout=_SESSION_S,
            broker_rebalance_timeout=_SESSION_S,
            # A static member comes back after kill -9 without waiting for its old session to expire.
            consumer_group_instance_id=f"{settings.drift_app_id}.{settings.drift_instance}",
        )

    @property
    def is_ready(self) -> bool:
        """Whether partitions are assigned and tables recovered."""
        return self._is_started and not self._app.rebalancing and not self._app.in_recovery

    def table(self, name: str, *, source: Topic) -> "DurableTable":
        """A table of bytes that is partitioned like its source."""
        return DurableTable(
            self._app.Table(
                name,
                partitions=source.partitions,
                key_type=bytes,
                value_type=bytes,
                extra_topic_configs=_CHANGELOG,
            )
        )

    def agent(self, source: Topic, read: Read, handle: Handle) -> None:
        """Handle a topic in batches of what is there, its partitions side by side."""
        topic = self._app.topic(
            source.name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )

        async def consume(stream: Any) -> None:
            try:
                await self._consume(stream, read, handle)
            except Exception as error:
                await self._app.crash(error)
                raise

        self._app.agent(topic, name=f"drift_detection.{source.name}")(consume)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        Raises:
            Unavailable: The worker failed; a fresh process is the way on.
        """
        await self._wait_for_topics(stop)
        try:
            if not stop.is_set():
                await self._app.start()
                self._is_started = True
                await self._app.wait_first(stop.wait())
            if not stop.is_set():
                raise Unavailable(f"the stream worker stopped: {self._app.crash_reason!r}")
        finally:
            self._is_started = False
            await asyncio.wait_for(self._app.stop(), timeout=_STOP_S)

    async def _consume(self, stream: Any, read: Read, handle: Handle) -> None:
        batch: list[Any] = []
        seen = RecentlySeen(_REMEMBERED)
        async for event in stream.noack().events():
            batch.append(event)
            if len(batch) < _MAX_BATCH and await _more(stream):
                continue
            messages = [each.message for each in batch]
            async with asyncio.TaskGroup() as partitions:
                for partition in {m.partition for m in messages}:
                    own = [m for m in messages if m.partition == partition]
                    partitions.create_task(self._handle_partition(own, read, handle, seen=seen))
            for each in batch:
                await stream.ack(each)
            batch.clear()

    async def _handle_partition(
        self, messages: list[Any], read: Read, handle: Handle, *, seen: RecentlySeen
    ) -> None:
        """Read and handle what came of one partition; partitions share no state."""
        topic, partition = messages[0].topic, messages[0].partition
        items = [item for m in messages if (item := await self._item(m, read, seen)) is not None]
        await self._until_done(partial(handle, topic, partition, items))
        CONSUMED.labels(topic, self._group).inc(len(messages))

    async def _item(self, message: Any, read: Read, seen: RecentlySeen) -> Any:
        """What is wanted of one message; None for a double, for nothing, and for poison."""
        try:
            event = _decode(message)
            if event.event_id and not seen.add(event.event_id, at=f"{event.partition}:{event.offset}"):
                metrics.DOUBLES.labels(message.topic).inc()
                return None
            return read(event)
        except InvalidInput as error:
            reason = str(error)
        DEAD_LETTERED.labels(message.topic, self._group).inc()
        log.warning(
            "dead letter",
            extra={
                "topic": message.topic,
                "partition": message.partition,
                "offset": message.offset,
                "reason": reason,
            },
        )
        letter = dead_letter(message, group=self._group, reason=reason)
        await self._until_done(partial(self._dead_letters.publish, [letter]))
        return None

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        """Try until it is done: a broker that is away for a while must not lose a batch."""
        while True:
            try:
                await work()
                return
            except (Unavailable, OSError) as error:
                RETRIED.labels(self._group).inc()
                log.warning("batch failed, trying again in %.1f s: %r", _RETRY_S, error)
            await asyncio.sleep(_RETRY_S)

    async def _wait_for_topics(self, stop: asyncio.Event) -> None:
        """Faust takes a topic that does not exist yet for one without partitions."""
        wanted = {topic.name for topic in (PREDICTIONS, LABELS, DRIFT_BLOCKS)}
        while not stop.is_set():
            missing = wanted - await self._existing_topics()
            if not missing:
                return
            log.info("waiting for topics", extra={"missing": sorted(missing)})
            await asyncio.sleep(_RETRY_S)

    async def _existing_topics(self) -> set[str]:
        admin = AIOKafkaAdminClient(**client_options(self._bootstrap), request_timeout_ms=5000)
        try:
            await admin.start()
            return set(await admin.list_topics())
        except KafkaError as error:
            log.warning("Kafka is not reachable: %r", error)
            return set()
        finally:
            await admin.close()


def _broker(bootstrap: str) -> dict[str, Any]:
    """What Faust is told of where the broker is and how to get in."""
    access = parse(bootstrap)
    broker = ";".join(f"kafka://{server}" for server in access.servers.split(","))
    if not access.is_secured:
        return {"broker": broker}
    credentials = faust.SASLCredentials(
        username=access.user, password=access.password(), mechanism=MECHANISM, ssl_context=access.tls()
    )
    return {"broker": broker, "broker_credentials": credentials}


class DurableTable:
    """A Faust table whose writes are waited for.

    Faust sends changelog records behind the scenes and commits offsets whether they have arrived or
    not: its flush gives up after 0.1 s, and a record that fails is only logged.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        """The value, None where there is none."""
        value: bytes | None = self._table.data.get(key)
        return value

    async def write(self, partition: int, key: bytes, value: bytes) -> None:
        """Set a value once its changelog has it.

        Raises:
            Unavailable: The broker did not acknowledge the record in time; write again.
        """
        try:
            async with asyncio.timeout(_WRITE_DEADLINE_S):
                await asyncio.shield(self._table.send_changelog(partition, key, value))
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"the changelog of {self._table.name} is away: {error!r}") from error
        self._table.data[key] = value


async def _more(stream: Any) -> bool:
    """Whether further events are waiting, after a moment if need be."""
    if stream.channel.queue.empty():
        await asyncio.sleep(_GATHER_S)
    return not stream.channel.queue.empty()


def _decode(message: Any) -> Event:
    return decode(
        message.topic,
        key=message.key,
        value=message.value,
        headers=list(message.headers or ()),
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int((message.timestamp or 0) * 1000),
    )
