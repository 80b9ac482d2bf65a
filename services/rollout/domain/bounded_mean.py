"""Confidence in the mean of a bounded metric at every moment, exact from the first value on: for reports.

Source: Waudby-Smith, Ramdas, Estimating means of bounded random variables by betting, JRSS B 86, 2024,
Theorem 2 (predictable plug-in empirical Bernstein confidence sequence).
"""

from dataclasses import dataclass
from math import log, log1p, sqrt
from typing import Final

from slipway.errors import InvalidInput

LARGEST_STAKE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedMean:
    """The mean of values within 0 and 1; the same mean at every moment, given the past.

    Attributes:
        alpha: Two-sided error; it shapes the stakes, so it is fixed at the beginning.
        total: Sum of the values.
        squares: Sum of (value - estimate then)^2, from which the spread is estimated.
        stakes: Sum of the stakes.
        staked: Sum of stake times value.
        penalty: Sum of 4 (value - estimate before)^2 psi(stake).
    """

    alpha: float
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    stakes: float = 0.0
    staked: float = 0.0
    penalty: float = 0.0


def observe(mean: BoundedMean, value: float) -> BoundedMean:
    """Add a value.

    Formula: with m_t = (1/2 + sum x) / (t + 1) and s_t = (1/4 + sum (x_i - m_i)^2) / (t + 1), the stake is
        l_t = min(1/2, sqrt(2 ln(2 / alpha) / (s_{t-1} t ln(1 + t)))), its cost
        4 (x_t - m_{t-1})^2 psi(l_t) with psi(l) = (-ln(1 - l) - l) / 4.
    Raises:
        InvalidInput: A value outside 0 and 1.
    """
    if not 0 <= value <= 1:
        raise InvalidInput(f"a value of {value}: must lie within 0 and 1")
    t = mean.count + 1
    before = (0.5 + mean.total) / t
    spread = (0.25 + mean.squares) / t
    stake = min(LARGEST_STAKE, sqrt(2 * log(2 / mean.alpha) / (spread * t * log1p(t))))
    total = mean.total + value
    return BoundedMean(
        alpha=mean.alpha,
        count=t,
        total=total,
        squares=mean.squares + (value - (0.5 + total) / (t + 1)) ** 2,
        stakes=mean.stakes + stake,
        staked=mean.staked + stake * value,
        penalty=mean.penalty + (value - before) ** 2 * (-log1p(-stake) - stake),
    )


def interval(mean: BoundedMean) -> tuple[float, float]:
    """Where the mean lies with probability 1 - alpha, whenever one looks; 0 to 1 before any value.

    Formula: sum(l x) / sum(l) +- (ln(2 / alpha) + sum cost) / sum(l).
    """
    if not mean.count:
        return 0.0, 1.0
    middle = mean.staked / mean.stakes
    width = (log(2 / mean.alpha) + mean.penalty) / mean.stakes
    return max(0.0, middle - width), min(1.0, middle + width)
