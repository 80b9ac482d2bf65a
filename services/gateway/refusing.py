"""Counts what is refused before an arm sees it."""

from types import TracebackType

from prometheus_client import Counter

from services.gateway import metrics
from slipway.errors import SlipwayError


class Refusing:
    """Counts a SlipwayError that leaves the block as one refusal; cheaper than a generator."""

    def __init__(self, reason: str) -> None:
        self._counter: Counter = metrics.REFUSALS.labels(reason)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SlipwayError):
            self._counter.inc()
