"""The slope of a series, and how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Numbers = NDArray[np.float64]

_CONFIDENCE: Final = 0.95
_TOO_FEW: Final = 3.0  # independent values: a line through so few says next to nothing of its error


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A straight line through a series, in the units of the series.

    Attributes:
        per_hour: Its slope.
        low: Lower end of the slope's 95 % interval; minus infinity where the series is too short to tell.
        high: Upper end.
        at_start: The line's value at the first time.
        at_end: The line's value at the last time.
    """

    per_hour: float
    low: float
    high: float
    at_start: float
    at_end: float


def slope(times_s: Sequence[float], values: Sequence[float]) -> Slope:
    """Least squares, with an interval that allows for values that hang together.

    Memory is taken and given back in steps, so that neighbours in the series are alike and tell less than
    as many independent values would. Their number is reduced by the autocorrelation r of the residuals
    from one value to the next: n' = n (1 - r) / (1 + r).

    Args:
        times_s: Evenly spaced, in seconds.
        values: At these times; at least three.
    Source: B. D. Santer et al., Statistical significance of trends and trend differences in
        layer-average atmospheric temperature time series, J. Geophys. Res. 105, 2000, equations 3 to 6.
    """
    hours = np.asarray(times_s) / 3600
    series = np.asarray(values, dtype=float)
    per_hour, offset = np.polyfit(hours, series, 1)
    residuals = series - (per_hour * hours + offset)
    half = _half_width(hours, residuals)
    return Slope(
        per_hour=float(per_hour),
        low=float(per_hour - half),
        high=float(per_hour + half),
        at_start=float(per_hour * hours[0] + offset),
        at_end=float(per_hour * hours[-1] + offset),
    )


def _half_width(hours: Numbers, residuals: Numbers) -> float:
    squares = float(residuals @ residuals)
    if squares < 1e-18:
        return 0.0
    r = max(0.0, float(residuals[1:] @ residuals[:-1]) / squares)
    count = len(residuals) * (1 - r) / (1 + r)
    if count <= _TOO_FEW:
        return math.inf
    spread = float(((hours - hours.mean()) ** 2).sum())
    error = math.sqrt(squares / (count - 2) / spread)
    return error * float(stats.t.ppf((1 + _CONFIDENCE) / 2, count - 2))
