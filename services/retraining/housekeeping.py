"""What is kept stays bounded, and is counted."""

import asyncio
import logging

from services.retraining.metrics import EXAMPLES, OPEN, PRUNED
from services.retraining.settings import Settings
from services.retraining.specs import SpecBook
from services.retraining.store.examples import ExampleStore
from services.retraining.store.jobs import JobStore
from slipway import postgres

log = logging.getLogger(__name__)


class Housekeeper:
    """Prunes and counts, model by model."""

    def __init__(
        self, examples: ExampleStore, jobs: JobStore, *, specs: SpecBook, settings: Settings
    ) -> None:
        self._examples = examples
        self._jobs = jobs
        self._specs = specs
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Tidy now and then until told to stop."""
        while not stop.is_set():
            try:
                await self.tidy()
            except postgres.FAILURES as error:
                log.warning("housekeeping waits: %r", error)
            try:
                async with asyncio.timeout(self._settings.housekeeping_every_s):
                    await stop.wait()
            except TimeoutError:
                continue

    async def tidy(self) -> None:
        """Once for all models."""
        for applied in self._specs.all():
            model, keep_rows = applied.spec.name, applied.spec.retraining.keep_rows
            count = await self._examples.count(model)
            if count > keep_rows:
                PRUNED.labels(model).inc(await self._examples.prune(model, keep_rows))
            await self._jobs.prune(model, self._settings.keep_jobs)
            EXAMPLES.labels(model).set(min(count, keep_rows))
            OPEN.labels(model).set(await self._jobs.count_open(model))
