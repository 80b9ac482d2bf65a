"""Models are tried in a process that may fall before a replica, which must not, is given them."""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from typing import Final

from services.inference import metrics
from services.inference.domain.version import Version
from services.inference.settings import Settings
from slipway.errors import InvalidInput, Unavailable
from slipway.sandbox.confinement import Limits
from slipway.sandbox.trial import try_model

log = logging.getLogger(__name__)

_REMEMBERED: Final = 1000
_PATIENCE_S: Final = 5.0  # the reconciler has other versions to look after


class Trials:
    """One trial at a time: two cores serve, they do not only try."""

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits(
            memory_bytes=settings.trial_memory_bytes,
            cpu_s=settings.trial_cpu_s,
            deadline_s=settings.trial_deadline_s,
        )
        self._turn = asyncio.Semaphore(1)
        self._passed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def pass_or_fail(self, version: Version, onnx: bytes, *, spec_yaml: str) -> None:
        """Try a version under its spec, once in the life of this process.

        Raises:
            InvalidInput: It is refused, crashes, or needs more than a trial may use.
            Unavailable: The trial goes on, or no process can be started now: ask again.
        """
        key = version.digest, hashlib.sha256(spec_yaml.encode()).hexdigest()
        if key in self._passed:
            return
        if key not in self._under_way:
            self._under_way[key] = asyncio.create_task(self._try(onnx, spec_yaml))
        task = self._under_way[key]
        await asyncio.wait({task}, timeout=_PATIENCE_S)
        if not task.done():
            raise Unavailable("it is being tried in a process of its own")
        del self._under_way[key]
        log.info("tried", extra={"model": version.model, "version": version.version, "walls": task.result()})
        self._passed[key] = None
        if len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)

    async def _try(self, onnx: bytes, spec_yaml: str) -> str:
        async with self._turn:
            begun_s = time.monotonic()
            try:
                trial = await asyncio.to_thread(try_model, onnx, spec_yaml, limits=self._limits)
            except InvalidInput:
                metrics.TRIALS.labels("refused").inc()
                raise
            metrics.TRIAL_SECONDS.observe(time.monotonic() - begun_s)
            metrics.TRIALS.labels("passed").inc()
            metrics.TRIAL_WALLS.clear()
            metrics.TRIAL_WALLS.labels(trial.walls).set(1)
            return trial.walls
