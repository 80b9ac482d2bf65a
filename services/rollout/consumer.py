"""The topics that rollout reads, each to its handler."""

from collections.abc import Sequence

from services.rollout.control import Control
from services.rollout.handlers import take_candidates, take_predictions
from services.rollout.records import ArmRecord, read_record
from services.rollout.settings import Settings
from slipway import topics
from slipway.envelope import Event
from slipway.kafka import ConsumerLoop, Producer, Subscription


def prediction_loop(control: Control, producer: Producer, settings: Settings) -> ConsumerLoop:
    """Counts what the arms of live rollouts answered."""

    async def handle(records: Sequence[ArmRecord]) -> None:
        if await take_predictions(control, records):
            await control.relay.flush()

    subscription = _subscription(topics.PREDICTIONS.name, settings, max_batch=2000)
    return ConsumerLoop(subscription, handle, dead_letters=producer, read=read_record)


def candidate_loop(control: Control, producer: Producer, settings: Settings) -> ConsumerLoop:
    """Rolls blessed candidates out; a committed offset means that the new routes are published."""

    async def handle(events: Sequence[Event]) -> None:
        await take_candidates(control, events)
        await control.relay.flush()

    subscription = _subscription(topics.CANDIDATES.name, settings, max_batch=100)
    return ConsumerLoop(subscription, handle, dead_letters=producer)


def _subscription(topic: str, settings: Settings, *, max_batch: int) -> Subscription:
    return Subscription(
        bootstrap=settings.kafka_bootstrap,
        group=f"{settings.consumer_group}.{topic}",
        topics=(topic,),
        instance=settings.instance,
        max_batch=max_batch,
    )
