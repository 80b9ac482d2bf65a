"""Page-Hinkley test for a rise of the mean."""

import math


class PageHinkley:
    """Reports when the sum of deviations above the running mean has risen too far from its minimum.

    Formula: m_t = sum_{i <= t} (x_i - mean_i - delta); a rise when m_t - min_{s <= t} m_s > threshold.
        After a report it starts anew.
    Source: Page, Continuous inspection schemes, 1954; Hinkley, Inference about the change-point from
        cumulative sum tests, 1971. The same numbers as river's, which loads a hundred megabytes of
        packages that a detector does not need.
    """

    def __init__(self, *, delta: float, threshold: float, min_values: int) -> None:
        self._delta, self._threshold, self._min_values = delta, threshold, min_values
        self._count, self._mean, self._sum, self._lowest = 0, 0.0, 0.0, math.inf
        self._has_risen = False

    def update(self, value: float) -> bool:
        """Take one value in; whether it completes a rise."""
        if self._has_risen:
            self._count, self._mean, self._sum, self._lowest = 0, 0.0, 0.0, math.inf
        self._count += 1
        self._mean += (value - self._mean) / self._count
        self._sum += value - self._mean - self._delta
        self._lowest = min(self._lowest, self._sum)
        self._has_risen = self._count >= self._min_values and self._sum - self._lowest > self._threshold
        return self._has_risen
