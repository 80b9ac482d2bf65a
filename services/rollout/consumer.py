"""The topics that rollout reads, each to its handler."""

from collections.abc import Sequence

from services.rollout.control import Control
from services.rollout.handlers import take_candidates, take_predictions
from slipway import topics
from slipway.envelope import Event
from slipway.kafka import ConsumerLoop, Producer, Subscription


def prediction_loop(control: Control, producer: Producer, *, bootstrap: str, group: str) -> ConsumerLoop:
    """Counts what the arms of live rollouts answered."""

    async def handle(events: Sequence[Event]) -> None:
        if await take_predictions(control, events):
            await control.relay.flush()

    subscription = Subscription(
        bootstrap=bootstrap, group=f"{group}.predictions", topics=(topics.PREDICTIONS.name,), max_batch=1000
    )
    return ConsumerLoop(subscription, handle, dead_letters=producer)


def candidate_loop(control: Control, producer: Producer, *, bootstrap: str, group: str) -> ConsumerLoop:
    """Rolls blessed candidates out; a committed offset means that the new routes are published."""

    async def handle(events: Sequence[Event]) -> None:
        await take_candidates(control, events)
        await control.relay.flush()

    subscription = Subscription(
        bootstrap=bootstrap, group=f"{group}.candidates", topics=(topics.CANDIDATES.name,)
    )
    return ConsumerLoop(subscription, handle, dead_letters=producer)
