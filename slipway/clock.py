"""Time as a parameter: services take a Clock, tests move it by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps, monotonic time for durations."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps back."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until `advance` is called."""

    def __init__(self, start_s: float = 1_700_000_000.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """The time set by hand."""
        return self._now_s

    def monotonic_s(self) -> float:
        """The time set by hand."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move both clocks on by `seconds`."""
        self._now_s += seconds
