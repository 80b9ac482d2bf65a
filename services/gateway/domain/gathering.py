"""Whether a call that could start waits for company that is on its way.

A free slot says that the version has nothing to do. It does not say that the gateway has: a busy event loop
takes in one request a turn, and those that stand before its door cannot be seen. A call for each as it
enters would cost the gateway and the version the overhead of a whole call for a row or two.
"""

from math import inf
from typing import Final

_QUIET_TURNS: Final = 20  # of the event loop without a new request: nobody is on the way
_COMPANY: Final = 1.5  # requests a call, on average, from where on waiting for others has paid
_SMOOTHING: Final = 0.1


class Gathering:
    """Holds a call back while requests keep coming, for as long as the call itself will take at most.

    So at worst the time in the lane doubles, and only where calls have had company: a caller alone never
    waits. The bound is learned, as the cost of a call is, and what ends the wait is that nobody comes.
    Source: a wait of the order of the learned cost, as in BentoML's `CorkDispatcher`; J. Nagle, RFC 896
        (1984), for sending at once what is alone.
    """

    def __init__(self) -> None:
        self._company = 1.0
        self._seen = 0
        self._quiet_turns = 0
        self._until_s = -inf

    @property
    def has_company(self) -> bool:
        """Whether calls have lately carried more than one request."""
        return self._company >= _COMPANY

    def begin(self, *, count: int, until_s: float) -> None:
        """A call could start: `count` requests wait for it, and may wait until then."""
        self._seen, self._quiet_turns, self._until_s = count, 0, until_s

    def goes_on(self, *, count: int, now_s: float) -> bool:
        """Whether to look again after another turn of the event loop; `count` requests wait by now."""
        self._quiet_turns = 0 if count > self._seen else self._quiet_turns + 1
        self._seen = count
        return self._quiet_turns <= _QUIET_TURNS and now_s < self._until_s

    def started(self, requests: int) -> None:
        """A call with so many requests has started."""
        self._company += _SMOOTHING * (requests - self._company)
