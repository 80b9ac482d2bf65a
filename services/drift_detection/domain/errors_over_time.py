"""Concept drift and loss of performance: block averages of matured errors in order of arrival.

Averages of blocks, not single errors: autocorrelation of single errors is what makes detectors cry.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final

# ADWIN itself, without river.drift: that brings scikit-learn, pandas and SQLAlchemy, five seconds and
# a hundred megabytes of them. A test holds the two together.
from river._river_rust.drift import AdaptiveWindowing

from services.drift_detection.domain.page_hinkley import PageHinkley
from services.drift_detection.domain.verdicts import Signal, Verdict

# Blocks a segment must have before ADWIN compares it, and before it looks at all: river's defaults
# (5 and 10) are for single errors; a block is a day's worth of them.
_ADWIN_SEGMENT_BLOCKS: Final = 3
_ADWIN_GRACE_BLOCKS: Final = 5
RECENT_BLOCKS: Final = 7
# One-sided 0.5 %: the comparison is made again with every block, so 5 % would cry too often.
PERFORMANCE_Z: Final = 2.576


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBlock:
    """Matured labels that arrived one after the other."""

    labels: int
    errors: int
    start_s: float
    end_s: float

    @property
    def rate(self) -> float:
        """Share of wrong answers."""
        return self.errors / self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectors:
    """Parameters of the detectors of concept drift, over block averages."""

    adwin_delta: float
    page_hinkley_delta: float
    page_hinkley_threshold: float
    page_hinkley_min_blocks: int


def concept_verdict(blocks: Sequence[ErrorBlock], *, detectors: Detectors) -> Verdict:
    """Whether the newest block completes a change of the error for the worse.

    The detectors are run over the whole history each time: it is short, and a restart then needs no
    detector state. Only a detection at the newest block raises; earlier ones have done so already.

    Source: Bifet and Gavalda, Learning from time-changing data with adaptive windowing, 2007;
        Page, Continuous inspection schemes, 1954 (both as in river).
    """
    rates = [block.rate for block in blocks]
    name = _detector_that_fires(rates, detectors)
    start = min(change_point(rates), max(0, len(rates) - RECENT_BLOCKS))
    recent = fmean(rates[-RECENT_BLOCKS:])
    before = fmean(rates[:start]) if start else rates[0]
    after = fmean(rates[start:])
    middle = (before + after) / 2
    return Verdict(
        signal=Signal.CONCEPT,
        statistic_name=name or "none",
        statistic=recent,
        threshold=before,
        clear_below=middle,
        # A rise that has ended by itself is no reason to act.
        is_raised=bool(name) and recent > before and recent >= middle,
        rows=sum(block.labels for block in blocks[start:]),
        start_s=blocks[start].start_s,
        end_s=blocks[-1].end_s,
        evidence=f"The error rose from {before:.1%} to {after:.1%} in the last {len(rates) - start} "
        f"blocks of matured labels ({_TITLES.get(name, 'no detector')}).",
    )


_TITLES: Final = {"adwin": "ADWIN", "page_hinkley": "Page-Hinkley"}


def _detector_that_fires(rates: Sequence[float], detectors: Detectors) -> str:
    """The detector that reports a rise at the last value, or an empty text."""
    adwin = _Adwin(detectors.adwin_delta)
    page_hinkley = PageHinkley(
        delta=detectors.page_hinkley_delta,
        threshold=detectors.page_hinkley_threshold,
        min_values=detectors.page_hinkley_min_blocks,
    )
    has_adwin_fired = has_page_hinkley_fired = False
    for rate in rates:
        has_adwin_fired, has_page_hinkley_fired = adwin.update(rate), page_hinkley.update(rate)
    if has_adwin_fired:
        return "adwin"
    return "page_hinkley" if has_page_hinkley_fired else ""


class _Adwin:
    """ADWIN that reports rises only, and starts anew after each change."""

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._window = self._new()

    def update(self, value: float) -> bool:
        """Take one value in; whether it completes a rise."""
        before = self._mean()
        if not self._window.update(value):
            return False
        has_risen = self._mean() > before
        self._window = self._new()
        return has_risen

    def _mean(self) -> float:
        width = self._window.get_width()
        return float(self._window.get_total() / width) if width else 0.0

    def _new(self) -> AdaptiveWindowing:
        return AdaptiveWindowing(
            delta=self._delta,
            clock=1,
            max_buckets=5,
            min_window_length=_ADWIN_SEGMENT_BLOCKS,
            grace_period=_ADWIN_GRACE_BLOCKS,
        )


def change_point(values: Sequence[float]) -> int:
    """Index at which a rise of the mean most likely began.

    Args:
        values: At least one.
    Returns:
        The first index after the minimum of the cumulative sum of deviations from the mean; 0 when
        the values fall.
    Formula: argmin_k sum_{i <= k} (x_i - mean(x)) + 1.
    Source: Hinkley, Inference about the change-point from cumulative sum tests, 1971, section 2.
    """
    mean, running, lowest, at = fmean(values), 0.0, 0.0, 0
    for index, value in enumerate(values[:-1]):
        running += value - mean
        if running < lowest:
            lowest, at = running, index + 1
    return at


def performance_verdict(
    baseline: Sequence[ErrorBlock], recent: Sequence[ErrorBlock], *, drop: float
) -> Verdict:
    """Whether accuracy now lies surely, and by `drop` at least, under the level right after promotion.

    Args:
        baseline: The first blocks of the version, two at least.
        recent: Its last blocks, two at least, none of them in the baseline.
        drop: Smallest loss of accuracy that matters.
    Formula: d - 2.576 sqrt(s1^2 / n1 + s0^2 / n0) > 0 and d >= drop, over block averages, d = m1 - m0.
    Source: Welch, The significance of the difference between two means when the population variances
        are unequal, 1938; normal quantile instead of Student's.
    """
    then, now = [b.rate for b in baseline], [b.rate for b in recent]
    loss = fmean(now) - fmean(then)
    error = math.sqrt(variance(then) / len(then) + variance(now) / len(now))
    rows = sum(block.labels for block in recent)
    return Verdict(
        signal=Signal.PERFORMANCE,
        statistic_name="accuracy_loss",
        statistic=loss,
        threshold=drop,
        clear_below=drop / 2,
        is_raised=loss >= drop and loss - PERFORMANCE_Z * error > 0,
        rows=rows,
        start_s=recent[0].start_s,
        end_s=recent[-1].end_s,
        evidence=f"Accuracy over the last {rows} labels is {1 - fmean(now):.1%}, "
        f"right after promotion it was {1 - fmean(then):.1%}.",
    )
