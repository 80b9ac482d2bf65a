"""Compacted topics: the whole state of something, followed by every process that needs it."""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer

from slipway.envelope import Event
from slipway.errors import SlipwayError
from slipway.kafka import POLL_MS, connect
from slipway.kafka_access import client_options
from slipway.kafka_records import decode_record

log = logging.getLogger(__name__)


async def read_compacted(
    bootstrap: str, topic: str, apply: Callable[[Event], None], stop: asyncio.Event, caught_up: asyncio.Event
) -> None:
    """Follow a whole compacted topic without a group: every process sees every key.

    Sets `caught_up` once everything that was there at the start has been applied. Unreadable
    records are logged and passed over: they are ours, and the last good state stays.
    """
    consumer = AIOKafkaConsumer(
        topic, **client_options(bootstrap), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await connect(consumer.start)
    try:
        await consumer.seek_to_beginning()
        goal = await consumer.end_offsets(consumer.assignment())
        while not stop.is_set():
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=500)
            for record in (r for batch in batches.values() for r in batch if r.value is not None):
                try:
                    apply(decode_record(record))
                except SlipwayError as error:
                    log.warning("passed over a record of %s at %s: %s", topic, record.offset, error)
            if not caught_up.is_set():
                positions = [await consumer.position(p) >= end for p, end in goal.items()]
                if all(positions):
                    caught_up.set()
    finally:
        await consumer.stop()
