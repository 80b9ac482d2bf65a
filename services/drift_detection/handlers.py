"""Records become blocks, blocks become alarms: read state, decide, publish, write state.

What was published is acknowledged before the state moves on: a crash in between publishes it again,
with the same identifiers, and readers pass over it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

from services.drift_detection import metrics
from services.drift_detection.domain.accumulation import Limits, Observation, accumulate
from services.drift_detection.domain.alarms import Change, Raised
from services.drift_detection.domain.monitor import ModelState, apply, crown
from services.drift_detection.messages import alarm_message, block_message, block_of, source_of
from services.drift_detection.records import model_of, observation_of
from services.drift_detection.store import Accumulators, ModelStates
from services.drift_detection.watch_list import WatchList
from slipway.clock import Clock
from slipway.envelope import Event, Outgoing
from slipway.v1.drift_pb2 import DriftBlock

LIMITS: Final = Limits(slot_rows=16, versions=8)


class Publisher(Protocol):
    """Sends messages and waits until the broker has them."""

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send all."""
        ...


class SketchHandler:
    """Events of one partition of `predictions` or `labels` become blocks."""

    def __init__(self, accumulators: Accumulators, watch_list: WatchList, publisher: Publisher) -> None:
        self._accumulators = accumulators
        self._watch_list = watch_list
        self._publisher = publisher

    def read(self, event: Event) -> tuple[str, Observation] | None:
        """What is counted of one event, with the model that it is about.

        Raises:
            InvalidInput: It cannot be read.
        """
        model = model_of(event)
        observation = observation_of(event, self._watch_list.classes(model))
        return None if observation is None else (model, observation)

    async def handle(
        self, topic: str, partition: int, observations: Sequence[tuple[str, Observation]]
    ) -> None:
        """Count observations, each with its model, and publish the blocks they make."""
        by_model: dict[str, list[Observation]] = defaultdict(list)
        for model, observation in observations:
            by_model[model].append(observation)
        for model, own in by_model.items():
            state, blocks = accumulate(self._accumulators.load(topic, partition, model), own, limits=LIMITS)
            await self._publisher.publish(
                [
                    block_message(block, model=model, version=version, topic=topic, partition=partition)
                    for version, block in blocks
                ]
            )
            metrics.BLOCKS.labels(topic).inc(len(blocks))
            await self._accumulators.save(topic, partition, model, state=state)


class BlockHandler:
    """Blocks of one partition of `drift_blocks` become alarms."""

    def __init__(
        self, states: ModelStates, watch_list: WatchList, publisher: Publisher, *, clock: Clock
    ) -> None:
        self._states = states
        self._watch_list = watch_list
        self._publisher = publisher
        self._clock = clock

    def read(self, event: Event) -> DriftBlock:
        """The block in an event."""
        block: DriftBlock = event.message
        return block

    async def handle(self, _topic: str, partition: int, blocks: Sequence[DriftBlock]) -> None:
        """Apply blocks in order and publish what changed."""
        by_model: dict[str, list[DriftBlock]] = defaultdict(list)
        for block in blocks:
            by_model[block.model].append(block)
        for model, own in by_model.items():
            await self._handle_model(partition, model, own)

    async def _handle_model(self, partition: int, model: str, blocks: Sequence[DriftBlock]) -> None:
        champion, policy = self._watch_list.champion(model), self._watch_list.policy(model)
        if champion is None or policy is None:
            return
        before = self._states.load(model)
        state, changes = crown(before, champion)
        messages = self._messages(model, before.version, changes)
        for message in blocks:
            state, changed = apply(
                state, source_of(message), block_of(message), champion=champion, policy=policy
            )
            messages += self._messages(model, state.version, changed)
        await self._publisher.publish(messages)
        await self._states.save(partition, model, state=state)
        _show(model, state)

    def _messages(self, model: str, version: str, changes: Sequence[Change]) -> list[Outgoing]:
        tenant, now_s = self._watch_list.tenant(model), self._clock.now_s()
        for change in changes:
            kind = "raised" if isinstance(change, Raised) else "cleared"
            metrics.CHANGES.labels(str(change.alarm.signal), kind).inc()
        return [
            alarm_message(change, model=model, version=version, tenant=tenant, now_s=now_s)
            for change in changes
        ]


def _show(model: str, state: ModelState) -> None:
    metrics.ACTIVE.labels(model).set(len(state.alarms))
    if state.errors:
        metrics.ERROR_SHARE.labels(model).set(state.errors[-1].rate)
