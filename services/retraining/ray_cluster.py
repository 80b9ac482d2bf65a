"""Steps as Ray tasks: one core each, a deadline, cancelled for good, tried again once when a worker dies."""

import asyncio
import importlib
import logging
import os
from collections.abc import Callable
from typing import Any, Final

import ray
from ray.exceptions import (
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from services.retraining.settings import Settings
from slipway.errors import DeadlineExceeded, InvalidInput, SlipwayError, Unavailable

log = logging.getLogger(__name__)

_STEPS: Final = "services.retraining.training_steps"
_CONNECT_DEADLINE_S: Final = 30.0
_LOWEST_PRIORITY: Final = 19
_ERROR_LINES: Final = 6
_ERROR_CHARS: Final = 800


class RayCluster:
    """The shared cluster, as far as training uses it. Connects when first needed, again after a loss."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.ray_address
        self._deadline_s = settings.step_deadline_s
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> "RayCluster":
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Leave the cluster; tasks of this process end with it."""
        await asyncio.to_thread(ray.shutdown)

    async def put(self, value: Any) -> Any:
        """Share a value with the tasks that get its reference."""
        await self._connect()
        return await self._blocking(ray.put, value)

    async def run(self, step: str, *arguments: Any, **options: Any) -> Any:
        """Run one function of `training_steps` as a task; arguments may be references from `put`.

        Raises:
            InvalidInput: The step failed, with the last lines of its traceback.
            DeadlineExceeded: It did not end in time; it was killed.
            Unavailable: The cluster is away.
        """
        await self._connect()
        reference = await self._blocking(lambda: _RUN_STEP.remote(step, *arguments, **options))
        is_done = False
        try:
            async with asyncio.timeout(self._deadline_s):
                result = await asyncio.wrap_future(reference.future())
            is_done = True
            return result
        except TimeoutError as error:
            raise DeadlineExceeded(f"{step} did not end within {self._deadline_s:g} s") from error
        except RayTaskError as error:
            is_done = True
            raise InvalidInput(last_lines(str(error))) from error
        except (WorkerCrashedError, OutOfMemoryError) as error:
            is_done = True
            reason = f"{step}: its worker process died twice: {last_lines(str(error))}"
            raise InvalidInput(reason) from error
        except (RayError, ConnectionError) as error:
            raise await self._lost(error) from error
        finally:
            if not is_done:
                self._cancel(reference)

    async def warm_up(self, _stop: asyncio.Event) -> None:
        """Have one worker load what steps import: that takes seconds, where a fit takes less than one."""
        try:
            await self.run("warm_up")
        except SlipwayError as error:
            log.warning("no Ray worker is warm: %s", error)

    async def _connect(self) -> None:
        async with self._lock:
            if not ray.is_initialized():
                await self._blocking(_init, self._address)

    async def _blocking(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(_CONNECT_DEADLINE_S):
                return await asyncio.to_thread(call, *arguments)
        except (RayError, ConnectionError, TimeoutError, RuntimeError, OSError) as error:
            raise await self._lost(error) from error

    async def _lost(self, error: Exception) -> Unavailable:
        await asyncio.to_thread(ray.shutdown)
        return Unavailable(f"Ray at {self._address} is away: {last_lines(str(error))}")

    def _cancel(self, reference: Any) -> None:
        try:
            ray.cancel(reference, force=True)
        except (RayError, ValueError, TypeError, RuntimeError) as error:
            log.warning("a task could not be cancelled: %r", error)


def last_lines(text: str) -> str:
    """The end of an error text, where its reason stands."""
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    return " | ".join(line.strip() for line in lines[-_ERROR_LINES:])[-_ERROR_CHARS:]


def _init(address: str) -> None:
    ray.init(address=address, namespace="slipway-retraining", log_to_driver=False, configure_logging=False)


def _run_step(step: str, *arguments: Any, **options: Any) -> Any:
    """Runs in the worker, which loads the steps there: this process needs none of what they import."""
    os.setpriority(os.PRIO_PROCESS, 0, _LOWEST_PRIORITY)  # serving shares the machine and goes first
    return getattr(importlib.import_module(_STEPS), step)(*arguments, **options)


# Workers leave after some tasks: whatever recipes leak goes with them.
# Half a CPU: a dozen warm replicas must not keep a training from ever starting.
_RUN_STEP: Final = ray.remote(num_cpus=0.5, max_retries=1, max_calls=500)(_run_step)
