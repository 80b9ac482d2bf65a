"""The edge to Kafka: labels, requests, and who is champion."""

import asyncio

from services.retraining.handlers import Intake
from services.retraining.settings import Settings
from services.retraining.specs import SpecBook
from slipway.kafka import ConsumerLoop, Producer, Subscription


class RetrainingConsumer:
    """Reads once the specs are there that give labels their meaning."""

    def __init__(self, intake: Intake, settings: Settings, *, producer: Producer, specs: SpecBook) -> None:
        subscription = Subscription(
            bootstrap=settings.kafka_bootstrap,
            group=settings.consumer_group,
            instance=settings.instance,
            topics=("labels", "retrain_requests", "rollout_events"),
            max_batch=settings.batch_messages,
        )
        self._loop = ConsumerLoop(subscription, intake.handle, dead_letters=producer)
        self._specs = specs

    @property
    def is_ready(self) -> bool:
        """Whether the group has been joined."""
        return self._loop.is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        await self._specs.until_known(stop)
        if not stop.is_set():
            await self._loop.run(stop)
