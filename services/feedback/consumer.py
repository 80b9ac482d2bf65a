"""The edge to Kafka: one loop for both topics, so that one process never races with itself."""

import asyncio

from aiokafka import ConsumerRecord

from services.feedback.handlers import Joiner
from services.feedback.records import Record, read_record
from services.feedback.settings import Settings
from slipway.envelope import Event
from slipway.kafka import ConsumerLoop, Producer, Subscription
from slipway.kafka_records import decode_record
from slipway.topics import FEEDBACK, PREDICTIONS


class FeedbackConsumer:
    """Reads predictions and feedback, once the specs that give labels their meaning are there."""

    def __init__(
        self, joiner: Joiner, settings: Settings, *, producer: Producer, specs_known: asyncio.Event
    ) -> None:
        subscription = Subscription(
            bootstrap=settings.kafka_bootstrap,
            group=settings.consumer_group,
            instance=settings.instance,
            topics=(PREDICTIONS.name, FEEDBACK.name),
            # Feedback whose prediction is not known yet is parked, and there is room for so much only.
            first=(PREDICTIONS.name,),
            max_batch=settings.batch_messages,
        )
        self._loop = ConsumerLoop(subscription, joiner.handle, dead_letters=producer, read=_read)
        self._specs_known = specs_known

    @property
    def is_ready(self) -> bool:
        """Whether the group has been joined."""
        return self._loop.is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        waits = {asyncio.ensure_future(self._specs_known.wait()), asyncio.ensure_future(stop.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        if not stop.is_set():
            await self._loop.run(stop)


def _read(record: ConsumerRecord) -> Record | Event | None:
    """What the joiner takes of one record."""
    return read_record(record) if record.topic == PREDICTIONS.name else decode_record(record)
