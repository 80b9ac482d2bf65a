"""What a call costs, learned from the calls before: a seconds for each row and b for the call itself."""

from math import inf
from typing import Final

_FORGETTING: Final = 0.98  # so that about the last 50 calls count, as in BentoML's dispatcher
_ORIGIN_WEIGHT: Final = 0.5  # of the belief that a call without rows costs nothing
_KNOWN_AFTER: Final = 3  # calls
_FIRST_SCALE: Final = 0.25  # of what was expected
_SMALLEST_SCALE: Final = 0.01
_SHORTEST_S: Final = 1e-6  # below what a call can take
_CLIP: Final = 3.0  # scales a surprise may count
_SCALE_STEP: Final = 0.05
_SCALE_GROWTH: Final = 4.0  # scales a surprise may add to the scale
_MARGIN: Final = 2.5  # scales: two standard deviations of a normal distribution


class CostModel:
    """Online least squares of seconds = a * rows + b, robust and forgetting.

    Formula: with weights 0.98^age, minimise sum(w * (a * n + b - t)^2) + 0.5 * b^2 for a, b >= 0. The last
        term is one half observation of a call without rows that costs nothing: where all calls had one size
        it makes the cost proportional (b = 0), so that larger calls are not taken for free; where
        sizes differ it weighs next to nothing.
    Robust: an observation enters as at most 3 scales away from what was expected (Huber's psi), the scale
        being the smoothed absolute surprise relative to what was expected: longer calls vary more. A
        lasting change lets the scale grow, and is learned.
    The first call of all is left out: it opens connections and warms caches.
    Source: batch latency as a linear function of its size, fitted online, bounds the batch: Crankshaw et
        al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017, section 4.3; BentoML's
        `CorkDispatcher` fits the same line over the last 50 batches. Huber, "Robust Estimation of a
        Location Parameter", 1964, for the clipping.
    """

    def __init__(self) -> None:
        self.seconds_per_row = 0.0
        self.seconds_per_call = 0.0
        self.is_known = False  # whether enough calls have been seen to refuse anything for it
        self._seen = -1  # the first is left out
        self._weight = self._rows = self._rows2 = self._seconds = self._product = 0.0
        self._scale = _FIRST_SCALE

    def seconds(self, rows: float) -> float:
        """What a call of so many rows is expected to take; 0 while unknown."""
        return self.seconds_per_row * rows + self.seconds_per_call if self.is_known else 0.0

    def cautious_seconds(self, rows: float) -> float:
        """The same with a margin for what cannot be foreseen."""
        if not self.is_known:
            return 0.0
        return (self.seconds_per_row * rows + self.seconds_per_call) * (1 + _MARGIN * self._scale)

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a call that ended."""
        self._seen += 1
        if self._seen == 0:
            return
        if self._seen > 1:
            seconds = self._clipped(rows, seconds)
        self.is_known = self._seen >= _KNOWN_AFTER
        self._add(rows, seconds)
        self._fit()

    def observe_at_least(self, rows: int, seconds: float) -> None:
        """Learn from a call that was given up: it would have taken longer."""
        if not self.is_known or seconds > self.seconds(rows):
            self.observe(rows, seconds)

    def efficient_rows(self, share: float, most: int) -> float:
        """The smallest call that reaches `share` of the highest possible rows per second.

        Formula: n / (a n + b) >= share / a  <=>  n >= share / (1 - share) * b / a.
        """
        if self.seconds_per_row <= 0:
            return float(most) if self.is_known else 1.0
        rows = share / (1 - share) * self.seconds_per_call / self.seconds_per_row
        return min(max(rows, 1.0), float(most))

    def rows_within(self, seconds: float) -> float:
        """The largest call that is expected to take no longer; at least one row."""
        if self.seconds_per_row <= 0:
            return inf
        return max(1.0, (seconds - self.seconds_per_call) / self.seconds_per_row)

    def _clipped(self, rows: int, seconds: float) -> float:
        expected = max(self.seconds_per_row * rows + self.seconds_per_call, _SHORTEST_S)
        surprise, scale = seconds / expected - 1, self._scale
        self._scale += _SCALE_STEP * (min(abs(surprise), _SCALE_GROWTH * scale) - scale)
        self._scale = max(self._scale, _SMALLEST_SCALE)
        return expected * max(0.0, 1 + min(max(surprise, -_CLIP * scale), _CLIP * scale))

    def _add(self, rows: int, seconds: float) -> None:
        self._weight = self._weight * _FORGETTING + 1
        self._rows = self._rows * _FORGETTING + rows
        self._rows2 = self._rows2 * _FORGETTING + rows * rows
        self._seconds = self._seconds * _FORGETTING + seconds
        self._product = self._product * _FORGETTING + rows * seconds

    def _fit(self) -> None:
        weight = self._weight + _ORIGIN_WEIGHT
        spread = weight * self._rows2 - self._rows * self._rows  # > 0 by the origin's weight
        slope = (weight * self._product - self._rows * self._seconds) / spread
        start = (self._rows2 * self._seconds - self._rows * self._product) / spread
        if slope < 0:
            slope, start = 0.0, self._seconds / self._weight
        elif start < 0:
            slope, start = self._product / self._rows2, 0.0
        self.seconds_per_row, self.seconds_per_call = slope, start
