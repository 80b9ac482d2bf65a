import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from services.drift_detection.domain.divergence import (
    chi_square_survival,
    homogeneity_p_value,
    jensen_shannon_distance,
)

histograms = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(lambda c: sum(c) > 0)


@given(histograms, histograms)
def test_jensen_shannon_agrees_with_scipy(one: list[int], other: list[int]) -> None:
    size = max(len(one), len(other))
    padded = [np.pad(np.array(c, dtype=float), (0, size - len(c))) for c in (one, other)]
    # Both take the root of a difference that cancels: near 0 only its square is exact.
    expected = np.nan_to_num(jensenshannon(*padded, base=2))
    assert jensen_shannon_distance(one, other) ** 2 == pytest.approx(expected**2, abs=1e-9)


def test_one_filled_bin_leaves_nothing_to_test() -> None:
    assert homogeneity_p_value([5, 0], [7, 0]) == 1.0


def test_jensen_shannon_of_disjoint_histograms_is_one() -> None:
    assert jensen_shannon_distance([5, 0], [0, 7]) == pytest.approx(1.0)
    assert jensen_shannon_distance([5, 5], [7, 7]) == 0.0


@pytest.mark.parametrize(
    ("statistic", "dof"), [(3.841, 1), (5.991, 2), (7.815, 3), (18.307, 10), (43.773, 30)]
)
def test_chi_square_survival_agrees_with_the_printed_table(statistic: float, dof: int) -> None:
    """Critical values at 0.05: Abramowitz and Stegun, table 26.8."""
    assert chi_square_survival(statistic, dof=dof) == pytest.approx(0.05, abs=2e-5)


@given(st.floats(0, 2000), st.integers(1, 60))
def test_chi_square_survival_agrees_with_scipy(statistic: float, dof: int) -> None:
    assert chi_square_survival(statistic, dof=dof) == pytest.approx(stats.chi2.sf(statistic, dof), rel=1e-9)


@given(histograms, histograms)
def test_the_homogeneity_test_agrees_with_scipy(one: list[int], other: list[int]) -> None:
    size = max(len(one), len(other))
    table = np.array([np.pad(c, (0, size - len(c))) for c in (one, other)])
    table = table[:, table.sum(axis=0) > 0]
    expected = stats.chi2_contingency(table, correction=False).pvalue if table.shape[1] > 1 else 1.0
    assert homogeneity_p_value(one, other) == pytest.approx(expected, rel=1e-6, abs=1e-12)
