"""What one gateway may spend of a limit without asking: the arithmetic of a lease.

A gateway holds a lease of `held` units, taken from the shared store ahead of need. A request takes its units
when it is let in and settles with what it really used. What was used grows for the length of a window and is
told as that one number, so that telling it twice counts once.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

BUDGET_SHARE: Final = 100  # a lease is at most this part of a budget
BURST_SHARE: Final = 10  # and this one of a rate's burst
HORIZON_S: Final = 0.5  # of the present demand, a lease is made to last
_WEIGHT: Final = 0.3  # of the newest measurement of demand


@dataclass(slots=True)
class Ledger:
    """Units left to be taken, taken by requests under way, and used."""

    left: int = 0
    taken: int = 0
    spent: int = 0

    @property
    def held(self) -> int:
        """What is not used of the lease."""
        return self.left + self.taken

    def take(self, amount: int) -> bool:
        """Set units aside for a request; False where too few are left."""
        if self.left < amount:
            return False
        self.left -= amount
        self.taken += amount
        return True

    def settle(self, amount: int, *, used: int) -> None:
        """End a request that had taken `amount`: what it used is spent, the rest is left again.

        Who used more than he took leaves a debt, which the next lease pays.
        """
        self.taken -= amount
        self.left += amount - used
        self.spent += used

    def charge(self, used: int) -> None:
        """Spend what was never taken here."""
        self.left -= used
        self.spent += used

    def give_up(self, keep: int = 0) -> int:
        """Let go of what is left beyond `keep`; returns how much that was."""
        given = max(0, self.left - keep)
        self.left -= given
        return given


@dataclass(slots=True)
class Demand:
    """How much is asked for, per second, lately."""

    per_s: float = 0.0
    asked: int = 0

    def measure(self, seconds: float) -> None:
        """Close a measurement that lasted so long; where nobody asked, nothing is wanted."""
        if not self.asked:
            self.per_s = 0.0
        elif seconds > 0:
            self.per_s += _WEIGHT * (self.asked / seconds - self.per_s)
            self.asked = 0


def largest_lease(value: int, *, is_budget: bool) -> int:
    """The most that a gateway holds of a limit; a single larger request is let have what it needs."""
    return max(1, value // (BUDGET_SHARE if is_budget else BURST_SHARE))


def wanted(demand: Demand, *, largest: int, waiting: int, need: int) -> int:
    """Units that a gateway would like to have left.

    Args:
        demand: Of requests lately.
        largest: What no lease exceeds.
        waiting: What requests wait for that found none.
        need: What the first of them waits for.
    """
    return max(need, min(largest, waiting + ceil(demand.per_s * HORIZON_S)))


def share_of_budget(limit: int, spent: int, gateways: int) -> int:
    """What a gateway spends by itself while the store is away: its part of what was left."""
    return max(0, limit - spent) // max(1, gateways)
