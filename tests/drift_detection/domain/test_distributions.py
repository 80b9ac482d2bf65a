import numpy as np
import pytest

from services.drift_detection.domain.distributions import (
    FeatureReference,
    Reference,
    Thresholds,
    distribution_verdicts,
    quality_verdicts,
    total,
)
from services.drift_detection.domain.sketch import FeatureSketch, Sketch
from services.drift_detection.domain.verdicts import Signal, Verdict

THRESHOLDS = Thresholds(data=0.1, prediction=0.1, quality=0.05)
REFERENCE = Reference(
    features={"a": FeatureReference(counts=(1000, 1000)), "b": FeatureReference(counts=(1000, 1000))},
    predicted=(500, 500),
    classes=("0", "1"),
)


def window(a: tuple[int, ...], predicted: tuple[int, ...] = ()) -> Sketch:
    half = sum(a) // 2
    return Sketch(
        rows=sum(a),
        features={"a": FeatureSketch(counts=a), "b": FeatureSketch(counts=(half, sum(a) - half))},
        predicted=predicted,
    )


def raised(verdicts: list[Verdict]) -> list[tuple[Signal, str]]:
    return [(v.signal, v.subject) for v in verdicts if v.is_raised]


def test_a_large_window_is_judged_by_the_distance_alone() -> None:
    verdicts = list(distribution_verdicts(window((1000, 400)), REFERENCE, thresholds=THRESHOLDS))
    assert raised(verdicts) == [(Signal.DATA, "a")]
    assert verdicts[0].evidence == (
        "Feature a is 0.19 away from the training data over the last 1400 rows "
        "(Jensen-Shannon distance, threshold 0.10)."
    )


def test_a_significant_but_small_difference_raises_nothing() -> None:
    """With 100,000 rows a share of 52 % is significant beyond doubt, and of no consequence."""
    assert (
        raised(list(distribution_verdicts(window((52_000, 48_000)), REFERENCE, thresholds=THRESHOLDS))) == []
    )


@pytest.mark.parametrize(("counts", "is_drift"), [((14, 6), False), ((210, 90), True)])
def test_a_small_window_must_be_far_away_and_significant(counts: tuple[int, int], is_drift: bool) -> None:
    verdicts = list(distribution_verdicts(window(counts), REFERENCE, thresholds=THRESHOLDS))
    assert verdicts[0].statistic > THRESHOLDS.data
    assert verdicts[0].is_raised is is_drift


def test_answers_are_compared_by_class() -> None:
    verdicts = list(distribution_verdicts(window((700, 700), (1300, 100)), REFERENCE, thresholds=THRESHOLDS))
    assert raised(verdicts) == [(Signal.PREDICTION, "")]
    assert "distribution of answers" in verdicts[-1].evidence


def test_without_counts_there_is_nothing_to_compare() -> None:
    reference = Reference(features={"a": FeatureReference(counts=()), "c": FeatureReference(counts=(5, 5))})
    assert list(distribution_verdicts(window((5, 5), (5, 5)), reference, thresholds=THRESHOLDS)) == []
    assert list(quality_verdicts(Sketch(), REFERENCE, threshold=0.05)) == []


def test_null_windows_raise_few_alarms() -> None:
    """200 windows from the training distribution itself, 48 to 1,344 rows, two features each."""
    rng = np.random.default_rng(1)
    alarms = 0
    for size in [48, 336, 672, 1344] * 50:
        counts = tuple(int(c) for c in rng.multinomial(size, [0.1] * 10))
        reference = Reference(features={"a": FeatureReference(counts=(400,) * 10)})
        sketch = Sketch(rows=size, features={"a": FeatureSketch(counts=counts)})
        alarms += len(raised(list(distribution_verdicts(sketch, reference, thresholds=THRESHOLDS))))
    assert alarms <= 200 * 0.05 * 1.5


@pytest.mark.parametrize(
    ("missing", "usual", "is_bad"), [(2, 0, False), (6, 0, True), (30, 250, False), (60, 250, True)]
)
def test_missing_values_beyond_the_usual_are_bad_data(missing: int, usual: int, is_bad: bool) -> None:
    reference = Reference(features={"a": FeatureReference(counts=(750,), missing=usual)})
    sketch = Sketch(rows=96, features={"a": FeatureSketch(counts=(96 - missing,), missing=missing)})
    [verdict] = quality_verdicts(sketch, reference, threshold=0.05)
    assert verdict.is_raised is is_bad


def test_values_outside_the_range_are_bad_data_even_without_a_profile() -> None:
    reference = Reference(features={"a": FeatureReference(counts=())})
    sketch = Sketch(rows=96, features={"a": FeatureSketch(counts=(86,), outside=10)})
    [verdict] = quality_verdicts(sketch, reference, threshold=0.05)
    assert (verdict.signal, verdict.is_raised) == (Signal.DATA_QUALITY, True)
    assert "10 outside the declared range" in verdict.evidence


def test_a_window_is_the_sum_of_its_sketches() -> None:
    assert total([window((1, 1)), window((3, 3))]).rows == 8
