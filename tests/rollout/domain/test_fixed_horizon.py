from typing import Any

import numpy as np
import pytest
from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic
from scipy.stats import ttest_ind

from services.rollout.domain.fixed_horizon import compare_means, compare_shares, holm
from services.rollout.domain.moments import Moments
from slipway.errors import InvalidInput


def moments(values: Any) -> Moments:
    mean = float(values.mean())
    return Moments(count=len(values), mean=mean, squares=float(((values - mean) ** 2).sum()))


def test_means_agree_with_scipys_welch_test() -> None:
    rng = np.random.default_rng(3)
    control, arm = rng.normal(10, 2, 40), rng.normal(11, 5, 25)
    ours = compare_means(moments(control), moments(arm), alpha=0.05)
    theirs = ttest_ind(arm, control, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert [ours.low, ours.high] == pytest.approx([interval.low, interval.high])


def test_means_agree_with_gbstats() -> None:
    rng = np.random.default_rng(4)
    control, arm = rng.normal(10, 2, 40), rng.normal(11, 5, 25)
    ours = compare_means(moments(control), moments(arm), alpha=0.1)
    a, b = (
        SampleMeanStatistic(n=len(v), sum=float(v.sum()), sum_squares=float((v**2).sum()))
        for v in (control, arm)
    )
    theirs = TwoSidedTTest(a, b, FrequentistConfig(difference_type="absolute", alpha=0.1)).compute_result()
    assert [ours.difference, ours.low, ours.high] == pytest.approx([theirs.expected, *theirs.ci])
    assert ours.p_value == pytest.approx(theirs.p_value)


def test_equal_shares_do_not_differ() -> None:
    same = compare_shares((50, 1000), (50, 1000), alpha=0.05)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert same.low == pytest.approx(-same.high)


def test_shares_agree_with_newcombes_published_example() -> None:
    """Newcombe 1998, table II, case (a): 56 of 70 against 48 of 80, method 10: 0.0524 to 0.3339."""
    found = compare_shares((48, 80), (56, 70), alpha=0.05)
    assert [found.low, found.high] == pytest.approx([0.0524, 0.3339], abs=5e-5)
    assert found.p_value == pytest.approx(0.0083, abs=5e-4)


def test_shares_of_nothing_bad_have_an_interval_of_some_width() -> None:
    none = compare_shares((0, 100), (0, 100), alpha=0.05)
    assert none.low < 0 < none.high
    assert none.p_value == 1.0


def test_holm_is_the_published_step_down() -> None:
    assert holm({"b": 0.01, "c": 0.04, "d": 0.03}) == pytest.approx({"b": 0.03, "d": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_refuses_means_of_too_little() -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        compare_means(Moments(count=1), Moments(count=5, squares=1.0), alpha=0.05)
    with pytest.raises(InvalidInput, match="no error"):
        compare_means(Moments(count=5), Moments(count=5), alpha=0.05)


@pytest.mark.parametrize("counts", [(0, 0), (5, 4), (-1, 4)])
def test_refuses_shares_of_nothing(counts: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="events"):
        compare_shares(counts, (1, 10), alpha=0.05)
