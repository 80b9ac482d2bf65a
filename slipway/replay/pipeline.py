"""Whether everything that was published has been worked through: consumer lag, trainings, deployments."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from slipway.errors import DeadlineExceeded
from slipway.kafka_access import client_options
from slipway.topics import SOURCES

_POLL_S: Final = 0.02
_CALL_DEADLINE_S: Final = 15.0
_RECORDS_S: Final = 120.0
_RECORDS_POLL_S: Final = 1.0


# They take no part in the loop from a prediction to a new version.
_BYSTANDERS: Final = frozenset({"jobs", "query_watch"})
# Compacted topics are followed without a group.
_TOPICS: Final = tuple(
    topic for topic in SOURCES if not topic.compacted and "jobs" not in (*topic.writers, *topic.readers)
)


def readers_by_topic() -> dict[str, tuple[str, ...]]:
    """Which services read which topic of the loop."""
    return {t.name: tuple(r for r in t.readers if r not in _BYSTANDERS) for t in _TOPICS}


def groups_of(reader: str, topic: str) -> tuple[str, str]:
    """A service reads all its topics in one group, or each in a group of its own."""
    return f"slipway.{reader}", f"slipway.{reader}.{topic}"


class Pipeline:
    """Measures how far the services are behind."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AIOKafkaAdminClient(**client_options(bootstrap))
        self._consumer = AIOKafkaConsumer(**client_options(bootstrap), enable_auto_commit=False)
        self._partitions: list[TopicPartition] = []

    async def start(self) -> None:
        """Connect."""
        await asyncio.wait_for(self._admin.start(), _CALL_DEADLINE_S)
        await asyncio.wait_for(self._consumer.start(), _CALL_DEADLINE_S)
        self._partitions = [
            TopicPartition(topic.name, p) for topic in _TOPICS for p in range(topic.partitions)
        ]

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        await self._admin.close()

    async def lag(self) -> dict[str, int]:
        """Messages not yet handled, by `reader topic`; only what is behind is listed."""
        readers = readers_by_topic()
        groups = sorted({g for topic, names in readers.items() for r in names for g in groups_of(r, topic)})
        # Offsets first, ends second: what is published in between shows as lag, never as quiet.
        async with asyncio.timeout(_CALL_DEADLINE_S):
            committed = dict(zip(groups, await asyncio.gather(*map(self._committed, groups)), strict=True))
            ends = await self._consumer.end_offsets(self._partitions)
        behind: dict[str, int] = {}
        for partition, end in ends.items():
            for reader in readers[partition.topic]:
                done = max(committed[g].get(partition, 0) for g in groups_of(reader, partition.topic))
                if end > done:
                    name = f"{reader} {partition.topic}"
                    behind[name] = behind.get(name, 0) + end - done
        return behind

    async def until_quiet(self, *, deadline_s: float) -> None:
        """Wait until nobody is behind on anything.

        Raises:
            DeadlineExceeded: Names who is still behind.
        """
        behind: dict[str, int] = {}
        try:
            async with asyncio.timeout(deadline_s):
                while behind := await self.lag():
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            listed = ", ".join(f"{name}: {n}" for name, n in sorted(behind.items()))
            raise DeadlineExceeded(
                f"after {deadline_s:.0f} s messages are still unread ({listed})"
            ) from error

    async def _committed(self, group: str) -> dict[TopicPartition, int]:
        offsets = await self._admin.list_consumer_group_offsets(group)
        return {partition: meta.offset for partition, meta in offsets.items() if meta.offset >= 0}


async def settled_records(
    bootstrap: str, topic: str, *, known: Collection[str], since_ms: int
) -> tuple[int, int]:
    """As `count_records`, when gateways have sent what they kept on disk, or have had two minutes for it.

    After an outage of Kafka nobody is behind on anything, and yet records are on their way.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _RECORDS_S
    while True:
        missing, doubles = await count_records(bootstrap, topic, known=known, since_ms=since_ms)
        if not missing or loop.time() >= until_s:
            return missing, doubles
        await asyncio.sleep(_RECORDS_POLL_S)


async def count_records(
    bootstrap: str, topic: str, *, known: Iterable[str], since_ms: int
) -> tuple[int, int]:
    """How many of the answered predictions have no record, and how many physical doubles there are.

    Args:
        bootstrap: Kafka.
        topic: The predictions topic.
        known: Prediction ids that were answered.
        since_ms: Read from this wall time on.
    """
    wanted, seen, doubles = set(known), set[str](), 0
    consumer = AIOKafkaConsumer(**client_options(bootstrap), enable_auto_commit=False)
    await asyncio.wait_for(consumer.start(), _CALL_DEADLINE_S)
    try:
        ends = await _seek(consumer, topic, since_ms)
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=500, max_records=2000)
            for record in (r for batch in batches.values() for r in batch):
                identity = dict(record.headers).get("ce_id", b"").decode()
                if identity in wanted:
                    doubles += identity in seen
                    seen.add(identity)
    finally:
        await consumer.stop()
    return len(wanted - seen), doubles


async def _seek(consumer: AIOKafkaConsumer, topic: str, since_ms: int) -> dict[TopicPartition, int]:
    partitions = [
        TopicPartition(topic, p) for p in range(next(t.partitions for t in SOURCES if t.name == topic))
    ]
    consumer.assign(partitions)
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    for partition, start in starts.items():
        consumer.seek(partition, start.offset if start else ends[partition])
    return ends
