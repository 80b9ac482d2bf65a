"""The edge to Kafka: every answered request, once the models are known."""

import asyncio

from services.query_watch.handlers import WatchHandler
from services.query_watch.questions import read_record
from services.query_watch.settings import Settings
from slipway.kafka import ConsumerLoop, Producer, Subscription
from slipway.topics import PREDICTIONS


class WatchConsumer:
    """Reads once routes and specs are known: without them nobody can say what a row is."""

    def __init__(
        self,
        handler: WatchHandler,
        settings: Settings,
        *,
        producer: Producer,
        models_known: tuple[asyncio.Event, ...],
    ) -> None:
        subscription = Subscription(
            bootstrap=settings.kafka_bootstrap,
            group=settings.consumer_group,
            instance=settings.instance,
            topics=(PREDICTIONS.name,),
            max_batch=settings.batch_messages,
        )
        self._loop = ConsumerLoop(subscription, handler.handle, dead_letters=producer, read=read_record)
        self._models_known = models_known

    @property
    def is_ready(self) -> bool:
        """Whether the group has been joined."""
        return self._loop.is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        for known in self._models_known:
            waits = [asyncio.ensure_future(each.wait()) for each in (known, stop)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
        if not stop.is_set():
            await self._loop.run(stop)
