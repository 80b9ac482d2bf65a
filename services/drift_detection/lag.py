"""How far the streams are behind. Faust does not tell, so Kafka is asked on behalf of its group."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from slipway.kafka import connect
from slipway.kafka_access import client_options
from slipway.kafka_lag import watched_lag
from slipway.topics import Topic


async def follow_lag(bootstrap: str, group: str, sources: Sequence[Topic], *, stop: asyncio.Event) -> None:
    """Keep the lag of a group shown until `stop` is set, without being a member of it."""
    consumer = AIOKafkaConsumer(**client_options(bootstrap), group_id=group, enable_auto_commit=False)
    await connect(consumer.start)
    try:
        partitions = [TopicPartition(s.name, number) for s in sources for number in range(s.partitions)]
        consumer.assign(partitions)
        consumer.pause(*partitions)  # nothing is to be fetched
        async with watched_lag(consumer, group):
            await stop.wait()
    finally:
        await consumer.stop()
