"""The topics that rollout reads, each to its handler."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.rollout.control import Control
from services.rollout.evidence_handlers import take_labels, take_shadows
from services.rollout.handlers import take_candidates, take_predictions
from services.rollout.label_records import read_label
from services.rollout.records import read_record
from services.rollout.settings import Settings
from services.rollout.shadow_records import read_shadow
from slipway import topics
from slipway.envelope import Event
from slipway.kafka import ConsumerLoop, Producer, Subscription

R = TypeVar("R")
Take = Callable[[Control, Sequence[R]], Awaitable[bool]]


def prediction_loop(control: Control, producer: Producer, settings: Settings) -> ConsumerLoop:
    """Counts what the arms of live rollouts answered."""
    subscription = _subscription(topics.PREDICTIONS.name, settings, max_batch=2000)
    handle = _flushed(control, take_predictions)
    return ConsumerLoop(subscription, handle, dead_letters=producer, read=read_record)


def label_loop(control: Control, producer: Producer, settings: Settings) -> ConsumerLoop:
    """Counts what became of the answers of live rollouts."""
    subscription = _subscription(topics.LABELS.name, settings, max_batch=1000)
    handle = _flushed(control, take_labels)
    return ConsumerLoop(subscription, handle, dead_letters=producer, read=read_label)


def shadow_loop(control: Control, producer: Producer, settings: Settings) -> ConsumerLoop:
    """Counts what versions in shadow answered."""
    subscription = _subscription(topics.SHADOW_PREDICTIONS.name, settings, max_batch=1000)
    handle = _flushed(control, take_shadows)
    return ConsumerLoop(subscription, handle, dead_letters=producer, read=read_shadow)


def candidate_loop(control: Control, producer: Producer, settings: Settings) -> ConsumerLoop:
    """Rolls blessed candidates out; a committed offset means that the new routes are published."""

    async def handle(events: Sequence[Event]) -> None:
        await take_candidates(control, events)
        await control.relay.flush()

    subscription = _subscription(topics.CANDIDATES.name, settings, max_batch=100)
    return ConsumerLoop(subscription, handle, dead_letters=producer)


def _flushed(control: Control, take: Take[R]) -> Callable[[Sequence[R]], Awaitable[None]]:
    """What is taken; where a rollout moved by it, its routes are published before the offset is committed."""

    async def handle(records: Sequence[R]) -> None:
        if await take(control, records):
            await control.relay.flush()

    return handle


def _subscription(topic: str, settings: Settings, *, max_batch: int) -> Subscription:
    return Subscription(
        bootstrap=settings.kafka_bootstrap,
        group=f"{settings.consumer_group}.{topic}",
        topics=(topic,),
        instance=settings.instance,
        max_batch=max_batch,
    )
