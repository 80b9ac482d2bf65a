"""How many jobs may be with the gateway at once: fewer after a refusal, slowly more after answers."""

from dataclasses import dataclass, replace
from typing import Final

_SHRINK: Final = 0.5
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_MOST_DOUBLINGS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Additive increase, multiplicative decrease, and a pause while nobody takes anything.

    Source: D.-M. Chiu, R. Jain, Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in
    Computer Networks, 1989, section 3.
    """

    most: int
    limit: float
    paused_until_s: float = 0.0
    refusals: int = 0  # in a row

    def answered(self) -> "Pace":
        """The pace after an answer, or a failure that has nothing to do with load."""
        return replace(self, limit=min(self.most, self.limit + 1 / self.limit), refusals=0)

    def refused(self, now_s: float) -> "Pace":
        """The pace after a refusal; those that come while it pauses already are the same one."""
        if now_s < self.paused_until_s:
            return self
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self.refusals, _MOST_DOUBLINGS))
        return replace(
            self,
            limit=max(1.0, self.limit * _SHRINK),
            paused_until_s=now_s + pause_s,
            refusals=self.refusals + 1,
        )

    def has_room(self, running: int, now_s: float) -> bool:
        """Whether one more may be sent."""
        return now_s >= self.paused_until_s and running < int(self.limit)


def full_speed(most: int) -> Pace:
    """The pace of a start."""
    return Pace(most=most, limit=float(most))
