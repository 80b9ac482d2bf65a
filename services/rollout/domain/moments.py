"""Count, mean and spread of numbers, one at a time."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from slipway.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What a mean and its error need.

    Attributes:
        squares: Sum of squared deviations from the mean.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def variance(self) -> float:
        """The unbiased sample variance; 0 below two values."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


NO_MOMENTS: Final = Moments()


def observe(moments: Moments, value: float) -> Moments:
    """Add one number.

    Raises:
        InvalidInput: NaN or infinite.
    Source: Welford, Note on a method for calculating corrected sums of squares and products,
        Technometrics 4, 1962.
    """
    if not isfinite(value):
        raise InvalidInput(f"a value of {value}: a mean needs finite numbers")
    count = moments.count + 1
    step = value - moments.mean
    mean = moments.mean + step / count
    return Moments(count=count, mean=mean, squares=moments.squares + step * (value - mean))


def merge(one: Moments, other: Moments) -> Moments:
    """The moments of both sets of numbers.

    Source: Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing sample
        variances, 1979, eq. 2.1.
    """
    count = one.count + other.count
    if not count:
        return one
    gap = other.mean - one.mean
    return Moments(
        count=count,
        mean=one.mean + gap * other.count / count,
        squares=one.squares + other.squares + gap * gap * one.count * other.count / count,
    )
