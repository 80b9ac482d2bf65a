"""The token bucket of a gateway that is on its own."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Fills by `per_s` up to `burst`.

    Source: J. Turner, "New directions in communications (or which way to the information age?)", IEEE
    Communications Magazine 24(10), 1986 (the leaky bucket as a meter); RFC 2697, section 3, for the update.
    """

    per_s: float
    burst: float
    level: float
    at_s: float

    def take(self, amount: int, *, now_s: float) -> bool:
        """Take tokens; False where too few are there."""
        self._fill(now_s)
        if self.level < amount:
            return False
        self.level -= amount
        return True

    def give(self, amount: float) -> None:
        """Put tokens back, or take away what was used beyond them."""
        self.level = min(self.burst, self.level + amount)

    def wait_s(self, amount: int, *, now_s: float) -> float:
        """How long until so many are there."""
        self._fill(now_s)
        return max(0.0, (amount - self.level) / self.per_s)

    def _fill(self, now_s: float) -> None:
        self.level = min(self.burst, self.level + max(0.0, now_s - self.at_s) * self.per_s)
        self.at_s = now_s


def share_of_rate(per_s: float, burst: int, *, gateways: int, now_s: float) -> TokenBucket:
    """One of several gateways' part of a rate; a whole token fits into it, however many they are."""
    most = max(1.0, burst / gateways)
    return TokenBucket(per_s=per_s / gateways, burst=most, level=most, at_s=now_s)
