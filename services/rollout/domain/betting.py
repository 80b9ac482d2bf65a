"""Bets against "this is at most 0 on average": exact for bounded values, however often one looks.

Let a gain have E[gain | past] <= 0 under the null and gain >= -worst, with worst known before the gain
is seen. Then the wealth prod(1 + f gain / worst) of a player who stakes the fraction f in (0, 1) starts at
1, stays positive and never grows in expectation; so does the mean over several fractions.

Source: Waudby-Smith, Ramdas, Estimating means of bounded random variables by betting, JRSS B 86, 2024,
section 4 (capital processes); Ville, Etude critique de la notion de collectif, 1939.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log, log1p
from typing import Final

from slipway.errors import InvalidInput

# A small effect wants a small stake: its best one is effect / mean square.
FRACTIONS: Final = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bets:
    """log wealth per fraction, natural logarithm; 0 is no evidence."""

    log_wealth: tuple[float, ...] = (0.0,) * len(FRACTIONS)

    @property
    def log_e_value(self) -> float:
        """Evidence against the null so far."""
        return log_mean_exp(self.log_wealth)


NO_BETS: Final = Bets()


def bet(bets: Bets, gain: float, *, worst: float) -> Bets:
    """Play one more round.

    Args:
        bets: The wealth so far.
        gain: What is at most 0 on average under the null.
        worst: The largest possible loss, > 0, fixed before the gain was seen.
    Raises:
        InvalidInput: Not finite, or a loss beyond `worst`: the guarantee would be void.
    """
    if not isfinite(gain) or not isfinite(worst) or worst <= 0 or gain < -worst * (1 + 1e-9):
        raise InvalidInput(
            f"a gain of {gain} with a worst loss of {worst}: must be finite and gain >= -worst"
        )
    part = max(gain / worst, -1.0)
    return Bets(
        log_wealth=tuple(
            wealth + log1p(f * part) for wealth, f in zip(bets.log_wealth, FRACTIONS, strict=True)
        )
    )


def merge(one: Bets, other: Bets) -> Bets:
    """Two parts of one sequence, each begun at 1: products of e-processes on separate data."""
    return Bets(log_wealth=tuple(a + b for a, b in zip(one.log_wealth, other.log_wealth, strict=True)))


def log_mean_exp(log_values: Sequence[float]) -> float:
    """log of the mean of exp(values), without overflow.

    Formula: m + log(mean(exp(x - m))) with m = max(x).
    """
    highest = max(log_values)
    return highest + log(sum(exp(x - highest) for x in log_values) / len(log_values))
