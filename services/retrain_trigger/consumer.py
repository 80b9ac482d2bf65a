"""The edge to Kafka: one loop for everything a decision rests on."""

import asyncio

from services.retrain_trigger.handlers import TriggerHandler
from services.retrain_trigger.settings import Settings
from slipway.kafka import ConsumerLoop, Producer, Subscription
from slipway.topics import CANDIDATES, DRIFT_ALARMS, LABELS, ROLLOUT_EVENTS


class TriggerConsumer:
    """Reads once the specs are known: without its policy a model's events mean nothing."""

    def __init__(
        self, handler: TriggerHandler, settings: Settings, *, producer: Producer, specs_known: asyncio.Event
    ) -> None:
        subscription = Subscription(
            bootstrap=settings.kafka_bootstrap,
            group=settings.consumer_group,
            instance=settings.instance,
            topics=(DRIFT_ALARMS.name, LABELS.name, CANDIDATES.name, ROLLOUT_EVENTS.name),
            max_batch=settings.batch_messages,
        )
        self._loop = ConsumerLoop(subscription, handler.handle, dead_letters=producer)
        self._specs_known = specs_known

    @property
    def is_ready(self) -> bool:
        """Whether the group has been joined."""
        return self._loop.is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        waits = [asyncio.ensure_future(each.wait()) for each in (self._specs_known, stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        if not stop.is_set():
            await self._loop.run(stop)
