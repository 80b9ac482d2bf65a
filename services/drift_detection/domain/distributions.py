"""Data drift, prediction drift and data quality: a window of sketches against the training data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.drift_detection.domain.divergence import homogeneity_p_value, jensen_shannon_distance
from services.drift_detection.domain.sketch import EMPTY, Counts, FeatureSketch, Sketch, merge_all
from services.drift_detection.domain.verdicts import Signal, Verdict

# Above it any difference is significant and only its size matters; below it both must speak.
# Source: Evidently 0.7, default rule of its drift tests (stattests/registry.py).
LARGE_WINDOW_ROWS: Final = 1000
SIGNIFICANCE: Final = 0.05
CLEAR_RATIO: Final = 0.7
QUALITY_Z: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReference:
    """How the training data filled the bins of one feature."""

    counts: Counts
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A version's training data: its features, and its own answers on them by class."""

    features: Mapping[str, FeatureReference] = field(default_factory=dict)
    predicted: Counts = ()
    classes: tuple[str, ...] = ()
    calibration_rows: int = 0  # held-out rows that say which input score is unusual


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Levels at which distributions raise an alarm."""

    data: float
    prediction: float
    quality: float
    unusual_rate: float = 0.01  # of inputs like the training rows


def total(window: Sequence[Sketch]) -> Sketch:
    """One sketch of a whole window."""
    return merge_all([EMPTY, *window])


def distribution_verdicts(
    window: Sketch, reference: Reference, *, thresholds: Thresholds
) -> Iterator[Verdict]:
    """Compare every feature and the answers with the training data.

    The rule is size-aware: with more than 1,000 rows the Jensen-Shannon distance decides; with fewer
    the distance must be reached and the chi-square test must reject at 0.05, divided by the number
    of comparisons (Bonferroni).
    """
    alpha = SIGNIFICANCE / max(1, len(reference.features))
    for name, expected in sorted(reference.features.items()):
        seen = window.features.get(name, FeatureSketch())
        if sum(seen.counts) and sum(expected.counts):
            yield _distance_verdict(
                window, (expected.counts, seen.counts), subject=name, threshold=thresholds.data, alpha=alpha
            )
    if sum(window.predicted) and sum(reference.predicted):
        yield _distance_verdict(
            window,
            (reference.predicted, window.predicted),
            subject="",
            threshold=thresholds.prediction,
            alpha=SIGNIFICANCE,
        )


def _distance_verdict(
    window: Sketch, counts: tuple[Counts, Counts], *, subject: str, threshold: float, alpha: float
) -> Verdict:
    distance = jensen_shannon_distance(*counts)
    is_large = sum(counts[1]) > LARGE_WINDOW_ROWS
    is_raised = distance >= threshold and (is_large or homogeneity_p_value(*counts) < alpha)
    what = f"Feature {subject}" if subject else "The distribution of answers"
    return Verdict(
        signal=Signal.DATA if subject else Signal.PREDICTION,
        subject=subject,
        statistic_name="jensen_shannon",
        statistic=distance,
        threshold=threshold,
        clear_below=CLEAR_RATIO * threshold,
        is_raised=is_raised,
        rows=window.rows,
        start_s=window.first_at_s,
        end_s=window.last_at_s,
        evidence=f"{what} is {distance:.2f} away from the training data over the last {window.rows} rows "
        f"(Jensen-Shannon distance, threshold {threshold:.2f}).",
    )


def quality_verdicts(window: Sketch, reference: Reference, *, threshold: float) -> Iterator[Verdict]:
    """Compare the share of missing and outside values of each feature with the training data's.

    Formula: raised when share - expected >= threshold + 3 sqrt(expected (1 - expected) / n): three
    standard errors of a share (normal approximation of the binomial), so that small windows do not cry.
    """
    for name, expected in sorted(reference.features.items()):
        seen = window.features.get(name, FeatureSketch())
        values = sum(seen.counts) + seen.outside + seen.missing
        if values:
            yield _quality_verdict(window, seen, expected, subject=name, threshold=threshold, values=values)


def _quality_verdict(
    window: Sketch,
    seen: FeatureSketch,
    expected: FeatureReference,
    *,
    subject: str,
    threshold: float,
    values: int,
) -> Verdict:
    trained = sum(expected.counts) + expected.missing
    usual = expected.missing / trained if trained else 0.0
    excess = (seen.missing + seen.outside) / values - usual
    limit = threshold + QUALITY_Z * math.sqrt(usual * (1 - usual) / values)
    return Verdict(
        signal=Signal.DATA_QUALITY,
        subject=subject,
        statistic_name="missing_or_outside_share",
        statistic=excess,
        threshold=limit,
        clear_below=CLEAR_RATIO * limit,
        is_raised=excess >= limit,
        rows=window.rows,
        start_s=window.first_at_s,
        end_s=window.last_at_s,
        evidence=f"Feature {subject}: of the last {values} values {seen.missing} are missing and "
        f"{seen.outside} outside the declared range; in the training data {usual:.1%} were missing.",
    )
