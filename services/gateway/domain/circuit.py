"""A version that mostly fails is left alone for a while, and then tried with one call.

Source: Nygard, Release It!, 2nd edition, Pragmatic Bookshelf, 2018, chapter 5, Circuit Breaker. The
probe has a time-out of its own: a breaker that waits for ever for a lost probe stays half open
(https://github.com/resilience4j/resilience4j/issues/903).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

CALL: Final = 0  # the permit of a call that is no probe


class State(IntEnum):
    """Where a circuit stands; the number is the metric's."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a circuit opens, and for how long.

    Attributes:
        failure_share: Of the calls in the window that failed.
        min_calls: Fewer calls in the window say nothing.
        window_s: Whole seconds that are looked back on.
        open_s: The first time; twice that after each probe that failed, up to `max_open_s`.
        probe_timeout_s: A probe without a verdict for so long gives way to another.
    """

    failure_share: float = 0.5
    min_calls: int = 20
    window_s: int = 10
    open_s: float = 2.0
    max_open_s: float = 30.0
    probe_timeout_s: float = 5.0


class Circuit:
    """The breaker of one version. `notify` hears of every change of its state."""

    def __init__(self, policy: CircuitPolicy, notify: Callable[[State], None]) -> None:
        self._policy = policy
        self._notify = notify
        self.state = State.CLOSED
        self._until_s = 0.0  # end of OPEN, or of the wait for a probe
        self._openings = 0
        self._probe = CALL  # the number of the latest probe
        self._clear()

    @property
    def is_closed(self) -> bool:
        """Whether all calls are let through."""
        return self.state is State.CLOSED

    def admit(self, now_s: float) -> int | None:
        """A permit for one call: CALL, or the number of a probe; None: the circuit is open."""
        if self.state is State.CLOSED:
            return CALL
        if now_s < self._until_s:
            return None
        self._until_s = now_s + self._policy.probe_timeout_s
        self._probe += 1
        self._move(State.HALF_OPEN)
        return self._probe

    def is_refusing(self, now_s: float) -> bool:
        """Whether a call would get no permit."""
        return self.state is not State.CLOSED and now_s < self._until_s

    def retry_after_s(self, now_s: float) -> float:
        """When it is worth another try."""
        return max(0.0, self._until_s - now_s)

    def succeeded(self, permit: int, *, now_s: float) -> None:
        """A permitted call was answered."""
        if permit == CALL:
            if self.state is State.CLOSED:
                self._count(now_s, failed=0)
        elif self.state is State.HALF_OPEN:
            self._openings = 0
            self._clear()
            self._move(State.CLOSED)

    def failed(self, permit: int, *, now_s: float) -> None:
        """A permitted call failed by the version's fault."""
        if permit == CALL:
            if self.state is State.CLOSED:
                self._count(now_s, failed=1)
                if self._is_failing(now_s):
                    self._open(now_s)
        elif self._is_awaited(permit):
            self._open(now_s)

    def released(self, permit: int, *, now_s: float) -> None:
        """A permitted call ended without a verdict; another may be the probe."""
        if self._is_awaited(permit):
            self._until_s = now_s

    def retry_now(self, now_s: float) -> None:
        """Something changed (a new endpoint): an open circuit takes a probe at once."""
        if self.state is State.OPEN:
            self._until_s = now_s

    def forgive(self) -> None:
        """What failed so far will not fail again: count anew."""
        self._clear()

    def _is_awaited(self, permit: int) -> bool:
        """Whether a permit is the latest probe's: an older one is no longer waited for."""
        return permit != CALL and permit == self._probe and self.state is State.HALF_OPEN

    def _open(self, now_s: float) -> None:
        policy = self._policy
        growth = 2.0 ** min(self._openings, 30)
        self._openings += 1
        self._until_s = now_s + min(policy.max_open_s, policy.open_s * growth)
        self._move(State.OPEN)

    def _move(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._notify(state)

    def _clear(self) -> None:
        # One place for each second of the window: when it was, calls, failures.
        self._seconds = [[-1, 0, 0] for _ in range(self._policy.window_s)]

    def _count(self, now_s: float, *, failed: int) -> None:
        second = int(now_s)
        place = self._seconds[second % self._policy.window_s]
        if place[0] != second:
            place[:] = [second, 0, 0]
        place[1] += 1
        place[2] += failed

    def _is_failing(self, now_s: float) -> bool:
        since = int(now_s) - self._policy.window_s
        recent = [place for place in self._seconds if place[0] > since]
        calls, failures = sum(p[1] for p in recent), sum(p[2] for p in recent)
        return calls >= self._policy.min_calls and failures >= self._policy.failure_share * calls
