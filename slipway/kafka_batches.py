"""Messages to batches: the broker's answer is awaited for each batch, not for each message."""

import zlib
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from slipway.envelope import Outgoing


async def batches_of(producer: AIOKafkaProducer, messages: Iterable[Outgoing]) -> list[tuple[str, int, Any]]:
    """The messages as (topic, partition, batch), in order: a future for each batch, not for each message."""
    batches: list[tuple[str, int, Any]] = []
    latest: dict[tuple[str, int], Any] = {}
    partitions: dict[str, int] = {}
    for m in messages:
        if m.topic not in partitions:
            partitions[m.topic] = len(await producer.partitions_for(m.topic))
        key = m.key.encode()
        place = m.topic, partition_of(key, partitions[m.topic])
        batch = latest.get(place)
        entry = {"timestamp": None, "key": key, "value": m.value, "headers": list(m.headers)}
        if batch is None or batch.append(**entry) is None:
            batch = latest[place] = producer.create_batch()
            batches.append((*place, batch))
            batch.append(**entry)
    return batches


def partition_of(key: bytes, partitions: int) -> int:
    """Where a key belongs: by its CRC-32, as in librdkafka; Java's murmur2 is slow in Python."""
    return zlib.crc32(key) % partitions
