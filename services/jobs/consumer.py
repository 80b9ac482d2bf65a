"""The edge to Kafka: a loop for each priority, so that none stands behind another."""

import asyncio

from services.jobs.handlers import Intake
from services.jobs.settings import Settings
from slipway.errors import Overloaded
from slipway.kafka import ConsumerLoop, Producer, Subscription
from slipway.postgres import FAILURES
from slipway.topics import INFERENCE_JOBS


class JobConsumer:
    """Reads the jobs of one priority."""

    def __init__(self, priority: str, intake: Intake, *, settings: Settings, producer: Producer) -> None:
        subscription = Subscription(
            bootstrap=settings.kafka_bootstrap,
            group=f"{settings.consumer_group}.{priority}",
            instance=settings.instance,
            topics=(INFERENCE_JOBS[priority].name,),
            max_batch=settings.batch_messages,
        )
        self._loop = ConsumerLoop(subscription, intake.take, dead_letters=producer)

    @property
    def is_ready(self) -> bool:
        """Whether the group has been joined."""
        return self._loop.is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        try:
            await self._loop.run(stop)
        except (Overloaded, *FAILURES):
            # The batch under way found no room to the end: it is read again at the next start.
            if not stop.is_set():
                raise
