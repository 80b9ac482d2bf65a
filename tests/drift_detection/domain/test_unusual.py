import numpy as np
import pytest
from scipy.stats import betabinom

from services.drift_detection.domain.distributions import Reference
from services.drift_detection.domain.sketch import Sketch, merge_all, subtract
from services.drift_detection.domain.unusual import SIGNIFICANCE, most_by_chance, unusual_verdicts
from services.drift_detection.domain.verdicts import Signal, Verdict

REFERENCE = Reference(calibration_rows=400)


def verdict(unusual: int, scored: int = 1000) -> Verdict:
    [found] = unusual_verdicts(Sketch(rows=scored, scored=scored, unusual=unusual), REFERENCE, rate=0.01)
    return found


@pytest.mark.parametrize(
    ("rows", "calibration", "rate"), [(336, 170, 0.01), (5000, 4096, 0.05), (50, 99, 0.01)]
)
def test_chance_is_that_of_the_beta_binomial_law(rows: int, calibration: int, rate: float) -> None:
    above = max(1, int((calibration + 1) * rate))
    law = betabinom(rows, above, calibration + 1 - above)
    most = most_by_chance(rows, calibration_rows=calibration, rate=rate)
    assert law.sf(most - 1) >= SIGNIFICANCE > law.sf(most)


def test_inputs_like_the_training_rows_hardly_ever_raise_an_alarm() -> None:
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(2000):
        threshold = np.sort(rng.normal(size=400))[396]
        unusual = int((rng.normal(size=1000) > threshold).sum())
        alarms += verdict(unusual).is_raised
    assert alarms <= 2


def test_many_more_than_chance_explains_are_an_alarm_with_its_evidence() -> None:
    found = verdict(200)
    assert found.is_raised
    assert (found.signal, found.subject, found.statistic) == (Signal.INPUT_SCORE, "", 0.2)
    assert found.evidence.startswith("200 of the last 1000 scored inputs (20.0%) are unusual to the version")
    assert not verdict(10).is_raised


def test_a_significant_but_small_excess_raises_nothing() -> None:
    reference = Reference(calibration_rows=10**6)
    window = Sketch(rows=10**5, scored=10**5, unusual=1500)
    [found] = unusual_verdicts(window, reference, rate=0.01)
    assert not found.is_raised


def test_nothing_is_said_where_nothing_is_scored_or_no_row_was_held_out() -> None:
    scored = Sketch(rows=10, scored=10, unusual=10)
    assert list(unusual_verdicts(Sketch(rows=10), REFERENCE, rate=0.01)) == []
    assert list(unusual_verdicts(scored, Reference(), rate=0.01)) == []


def test_scores_are_added_and_subtracted_like_all_counts() -> None:
    one, other = Sketch(rows=3, scored=3, unusual=1), Sketch(rows=2, scored=1)
    both = merge_all([one, other])
    assert (both.scored, both.unusual) == (4, 1)
    assert (subtract(both, one).scored, subtract(both, one).unusual) == (1, 0)
