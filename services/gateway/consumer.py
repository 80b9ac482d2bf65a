"""Follows `routes`, `model_specs` and `extraction_alarms`, whatever happens to Kafka meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiokafka.errors import KafkaError

from services.gateway.catalog import Catalog
from services.gateway.suspects import Suspects
from slipway.changes import until
from slipway.compacted import read_compacted
from slipway.envelope import Event
from slipway.topics import EXTRACTION_ALARMS, MODEL_SPECS, ROUTES

log = logging.getLogger(__name__)

_RETRY_S: Final = 1.0


class CatalogConsumer:
    """Two topics into one catalog."""

    def __init__(self, bootstrap: str, catalog: Catalog) -> None:
        self._bootstrap = bootstrap
        self._catalog = catalog
        self._caught_up = {MODEL_SPECS.name: asyncio.Event(), ROUTES.name: asyncio.Event()}

    async def follow_specs(self, stop: asyncio.Event) -> None:
        """Apply specs until `stop` is set."""
        await self._follow(MODEL_SPECS.name, lambda e: self._catalog.apply_spec(e.message), stop=stop)

    async def follow_routes(self, stop: asyncio.Event) -> None:
        """Apply routes until `stop` is set."""
        await self._follow(ROUTES.name, lambda e: self._catalog.apply_route(e.message), stop=stop)

    async def note_caught_up(self, stop: asyncio.Event) -> None:
        """Tell the catalog once both topics have been read to their end."""

        async def wait() -> None:
            for event in self._caught_up.values():
                await event.wait()
            self._catalog.is_caught_up = True
            self._catalog.changes.notify()

        await until(stop, wait)

    async def _follow(self, topic: str, apply: Callable[[Event], None], *, stop: asyncio.Event) -> None:
        await _follow(self._bootstrap, topic, apply, stop=stop, caught_up=self._caught_up[topic])


async def follow_suspects(bootstrap: str, suspects: Suspects, stop: asyncio.Event) -> None:
    """Apply extraction alarms until `stop` is set."""
    name = EXTRACTION_ALARMS.name
    await _follow(bootstrap, name, suspects.apply, stop=stop, caught_up=suspects.caught_up)


async def _follow(
    bootstrap: str,
    topic: str,
    apply: Callable[[Event], None],
    *,
    stop: asyncio.Event,
    caught_up: asyncio.Event,
) -> None:
    """Apply a compacted topic until `stop` is set; `caught_up` is set once it has been read to its end."""
    while not stop.is_set():
        try:
            await until(stop, lambda: read_compacted(bootstrap, topic, apply, stop, caught_up))
        except (KafkaError, OSError) as error:
            log.warning("%s cannot be read, keeping what is known: %r", topic, error)
            await asyncio.sleep(_RETRY_S)
