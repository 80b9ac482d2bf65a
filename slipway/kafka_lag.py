"""How far a consumer group is behind: what lies in its topics and has not been handled yet."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Gauge

LAG = Gauge(
    "slipway_kafka_lag_messages",
    "Messages of the partitions assigned to this process that are not handled and committed yet",
    ["topic", "group"],
)

LOOK_EVERY_S: Final = 5.0
_DEADLINE_S: Final = 10.0


@asynccontextmanager
async def watched_lag(consumer: AIOKafkaConsumer, group: str) -> AsyncIterator[None]:
    """Keep the gauge true, also while a batch is stuck; a broker that is away leaves it as it was."""
    watching = asyncio.create_task(_watch(consumer, group), name=f"lag of {group}")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def show_lag(behind: Mapping[TopicPartition, int], group: str) -> None:
    """Set the gauge of each topic to the sum over its partitions."""
    by_topic: Counter[str] = Counter()
    for partition, messages in behind.items():
        by_topic[partition.topic] += max(0, messages)
    for topic, messages in by_topic.items():
        LAG.labels(topic, group).set(messages)


async def _watch(consumer: AIOKafkaConsumer, group: str) -> None:
    shown: set[str] = set()  # a topic whose partitions went to another member is not ours to show as behind
    while True:
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_DEADLINE_S):
                behind = await _messages_behind(consumer)
            show_lag({TopicPartition(topic, -1): 0 for topic in shown} | behind, group)
            shown.update(partition.topic for partition in behind)
        await asyncio.sleep(LOOK_EVERY_S)


async def _messages_behind(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    partitions = list(consumer.assignment())
    if not partitions:
        return {}
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    # What was deleted before it was read will never be handled: the rest is what is behind.
    return {p: ends[p] - max(await consumer.committed(p) or 0, starts[p]) for p in partitions}
