"""Where the time of a request goes, measured for a few of them."""

import time
from functools import lru_cache
from typing import Any, Final, Protocol

from services.gateway import metrics

AUTHENTICATE: Final = "authenticate"
PARSE: Final = "parse"
CHECK: Final = "check"
ROUTE: Final = "route"
QUEUE: Final = "queue"
COMPUTE: Final = "compute"
RECORD: Final = "record"
SERIALIZE: Final = "serialize"

_EVERY: Final = 17  # requests; a prime, so that no rhythm of callers keeps step with it


class Stages(Protocol):
    """A stopwatch that is handed through the stages of one request."""

    def lap(self, stage: str) -> None:
        """A stage has ended; the next begins."""
        ...

    def split(self, *laps: tuple[str, float]) -> None:
        """Several stages have ended that somebody else has timed; the next begins."""
        ...

    def tell(self, model: str) -> None:
        """The request was answered: count what was measured."""
        ...


class _Unmeasured:
    """The stopwatch of all the other requests."""

    def lap(self, stage: str) -> None:
        """Nothing."""

    def split(self, *laps: tuple[str, float]) -> None:
        """Nothing."""

    def tell(self, model: str) -> None:
        """Nothing."""


UNMEASURED: Final[Stages] = _Unmeasured()


class _Measured:
    def __init__(self) -> None:
        self._spent: list[tuple[str, float]] = []
        self._last_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        now_s = time.perf_counter()
        self._spent.append((stage, now_s - self._last_s))
        self._last_s = now_s

    def split(self, *laps: tuple[str, float]) -> None:
        self._spent.extend(laps)
        self._last_s = time.perf_counter()

    def tell(self, model: str) -> None:
        for stage, seconds in self._spent:
            _child(model, stage).observe(seconds)


class StageSampler:
    """Measures one request in 17."""

    def __init__(self) -> None:
        self._count = 0

    def begin(self) -> Stages:
        """The stopwatch of a request that begins now."""
        self._count += 1
        return UNMEASURED if self._count % _EVERY else _Measured()


@lru_cache(4096)
def _child(model: str, stage: str) -> Any:
    return metrics.STAGE_SECONDS.labels(model, stage)
