import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.hedging import HedgeBudget, RecentQuantile, nearest_rank


@given(share=st.floats(0, 1), wishes=st.lists(st.booleans(), max_size=300))
def test_second_calls_stay_within_their_share(share: float, wishes: list[bool]) -> None:
    budget, spent = HedgeBudget(), 0
    for wish in wishes:
        budget.earn(share)
        spent += wish and budget.spend()
    assert spent <= share * len(wishes) + 1e-9


def test_what_was_not_used_is_kept_for_a_few() -> None:
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn(0.05)
    assert [budget.spend() for _ in range(6)] == [True] * 5 + [False]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0.01, 1))
def test_nearest_rank_is_the_inverted_cdf(values: list[float], share: float) -> None:
    expected = np.quantile(values, share, method="inverted_cdf")
    assert nearest_rank(values, share) == pytest.approx(float(expected)) or share * len(values) % 1 < 1e-9


def test_too_few_calls_have_no_percentile() -> None:
    recent = RecentQuantile()
    for value in range(31):
        recent.observe(value)
    assert recent.value is None
    recent.observe(31)
    assert recent.value == 30  # of 0..31, ceil(0.95 * 32) = 31st


def test_only_recent_calls_count() -> None:
    recent = RecentQuantile()
    for value in [1000.0] * 256 + [1.0] * 256:
        recent.observe(value)
    assert recent.value == 1.0
