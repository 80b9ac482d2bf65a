"""What Kafka says is compared with what the log says, after a start and now and then; the log wins."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from services.rollout import metrics
from services.rollout.control import Control, Model, Move
from services.rollout.domain.log_entry import Version
from services.rollout.domain.state_machine import Trigger
from services.rollout.handlers import CONTROLLER
from services.rollout.messages import outgoing_routes, outgoing_spec, to_spec
from slipway import topics
from slipway.compacted import read_compacted
from slipway.envelope import Event
from slipway.v1.rollout_pb2 import ModelSpec, RouteTable

log = logging.getLogger(__name__)


class Reconciliation:
    """Compares both compacted topics with the log.

    A former leader that was asleep in mid-publication may publish an old table when it wakes. Gateways that
    run pass over it, but one that starts without a snapshot would take it: so looking once is not enough.

    Args:
        every_s: Between two looks. What changed later than that is on its way and not looked at.
    """

    def __init__(self, control: Control, bootstrap: str, *, every_s: float) -> None:
        self._control = control
        self._bootstrap = bootstrap
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Look at once, and then again and again until `stop` is set."""
        await self._look(stop, settled_s=0.0)
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            await self._look(stop, settled_s=self._every_s)

    async def _look(self, stop: asyncio.Event, *, settled_s: float) -> None:
        """Publish again what is missing or differs; a table that is ahead of the log is overtaken."""
        before_s = self._control.clock.now_s() - settled_s
        names = self._control.names  # a model that comes later publishes what it has itself
        specs: dict[str, ModelSpec] = await _read_topic(self._bootstrap, topics.MODEL_SPECS.name, stop=stop)
        tables: dict[str, RouteTable] = await _read_topic(self._bootstrap, topics.ROUTES.name, stop=stop)
        if stop.is_set():
            return
        for name in names:
            async with self._control.locked(name) as model:
                if model.row.applied_at_s <= before_s:
                    await _reconcile_spec(self._control, model, specs.get(name))
                if model.last is not None and model.last.at_s <= before_s:
                    await _reconcile_routes(self._control, model, tables.get(name))
        self._control.relay.wake()


async def _reconcile_spec(control: Control, model: Model, published: ModelSpec | None) -> None:
    stored = to_spec(model.row)
    if published is not None and published.digest == stored.digest:
        return
    _note(topics.MODEL_SPECS.name, model)
    await control.store.put_messages(control.writer, [outgoing_spec(stored)])


async def _reconcile_routes(control: Control, model: Model, published: RouteTable | None) -> None:
    if model.last is None:
        return
    routes = control.routes(model)
    epoch = published.epoch if published is not None else 0
    if published == routes:
        return
    _note(topics.ROUTES.name, model)
    if epoch < routes.epoch:
        await control.store.put_messages(control.writer, [outgoing_routes(routes)])
        return
    # Gateways apply only newer epochs: the same routes need one above what they have seen.
    await control.move(
        model,
        Move(
            trigger=Trigger.RECONCILE,
            subject=model.last.subject if model.last else Version(version="", digest=""),
            actor=CONTROLLER,
            reason=f"the published route table of epoch {epoch} is not the log's; the log's follows",
            step=model.position.step,
            weight_ppm=model.position.weight_ppm,
            epoch_above=epoch,
        ),
    )


def _note(topic: str, model: Model) -> None:
    metrics.RECONCILED.labels(topic).inc()
    log.warning("published again", extra={"topic": topic, "model": model.name})


async def _read_topic(bootstrap: str, topic: str, *, stop: asyncio.Event) -> dict[str, Any]:
    """The latest message of each key, as the topic stood when it was read."""
    latest: dict[str, Any] = {}
    caught_up, done = asyncio.Event(), asyncio.Event()

    def keep(event: Event) -> None:
        latest[event.key] = event.message

    async with asyncio.TaskGroup() as group:
        group.create_task(read_compacted(bootstrap, topic, keep, done, caught_up))
        waits = [group.create_task(caught_up.wait()), group.create_task(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        done.set()
        for task in waits:
            task.cancel()
    return latest
