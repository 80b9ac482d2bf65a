"""What looking up costs and spares, request by request; `domain.caching` judges it window by window."""

from typing import Final

from prometheus_client import Gauge

from services.gateway.domain.caching import Trial, Window

ANSWERS_LENGTH: Final = 2048
SHARED_LENGTH: Final = 256  # each costs a round trip: a store that does not pay is found out sooner


class Ledger:
    """One trial and its open window."""

    __slots__ = ("_compute_s", "_computed", "_cost_s", "_hits", "_is_off", "_is_paying", "_lookups", "_trial")

    def __init__(self, length: int, *, is_paying: Gauge) -> None:
        self._trial = Trial(length=length)
        self._is_paying = is_paying
        self._begin()

    def is_on(self, now_s: float) -> bool:
        """Whether to look up."""
        if not self._trial.is_on(now_s):
            return False
        if self._is_off:
            self._begin()
        return True

    def looked_up(self, cost_s: float, *, now_s: float) -> None:
        """A lookup was made; the window it fills is judged."""
        if self._lookups >= self._trial.length:
            self._judge(now_s)
        self._lookups += 1
        self._cost_s += cost_s

    def waited(self, cost_s: float) -> None:
        """The lookup last noted took this much more."""
        self._cost_s += cost_s

    def hit(self) -> None:
        """It spared a computation."""
        self._hits += 1

    def computed(self, seconds: float) -> None:
        """It did not."""
        self._computed += 1
        self._compute_s += seconds

    def _judge(self, now_s: float) -> None:
        window = Window(
            lookups=self._lookups,
            hits=self._hits,
            cost_s=self._cost_s,
            computed=self._computed,
            compute_s=self._compute_s,
        )
        self._trial = self._trial.judged(window, now_s=now_s)
        self._begin()
        self._is_off = not self._trial.is_on(now_s)
        self._is_paying.set(not self._is_off)

    def _begin(self) -> None:
        self._is_off = False
        self._is_paying.set(1)
        self._lookups: int = 0
        self._hits: int = 0
        self._computed: int = 0
        self._cost_s: float = 0.0
        self._compute_s: float = 0.0
