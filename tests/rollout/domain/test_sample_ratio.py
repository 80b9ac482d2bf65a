from itertools import product
from math import exp, inf, isclose, log

import pytest
from gbstats.utils import check_srm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, chisquare

from services.rollout.domain.sample_ratio import (
    CONCENTRATION,
    begin,
    chi_square_p_value,
    log_e_of_counts,
    observe,
    with_shares,
)
from slipway.errors import InvalidInput


def test_no_units_are_no_evidence() -> None:
    assert begin((0.1, 0.9)).log_e_value == pytest.approx(0.0)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 0.99), st.integers(0, 30), st.integers(1, 60))
def test_two_arms_are_a_beta_binomial_against_a_binomial(share: float, canary: int, champion: int) -> None:
    n = canary + champion
    expected = betabinom.logpmf(canary, n, CONCENTRATION * share, CONCENTRATION * (1 - share))
    expected -= binom.logpmf(canary, n, share)
    assert log_e_of_counts((canary, champion), (share, 1 - share)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.05, 0.95), (0.1, 0.2, 0.7)])
def test_promised_traffic_gives_no_evidence_on_average(shares: tuple[float, ...]) -> None:
    expected = 0.0
    for course in product(range(len(shares)), repeat=6):
        ratio, chance = begin(shares), 1.0
        for arm in course:
            ratio, chance = observe(ratio, arm), chance * shares[arm]
        expected += chance * exp(ratio.log_e_value)
    assert isclose(expected, 1.0, rel_tol=1e-9)


def test_new_shares_keep_what_was_found_before() -> None:
    ratio = begin((0.1, 0.9))
    for _ in range(30):
        ratio = observe(ratio, 0)
    found = ratio.log_e_value
    moved = with_shares(ratio, (0.5, 0.5))
    assert moved.log_e_value == pytest.approx(found)
    assert moved.counts == (0, 0)
    assert observe(observe(moved, 0), 1).log_e_value < found


def test_traffic_of_an_arm_without_a_share_is_certain_evidence() -> None:
    assert log_e_of_counts((0, 100), (0.0, 1.0)) == pytest.approx(0.0)
    assert log_e_of_counts((1, 100), (0.0, 1.0)) == inf
    assert chi_square_p_value((1, 100), (0.0, 1.0)) == 0.0


def test_a_drained_arm_is_found() -> None:
    assert log_e_of_counts((20, 980), (0.1, 0.9)) > log(1000)
    assert chi_square_p_value((20, 980), (0.1, 0.9)) < 0.001


def test_chi_square_agrees_with_scipy_and_gbstats() -> None:
    expected = chisquare([48, 102, 850], [50, 100, 850]).pvalue
    ours = chi_square_p_value((48, 102, 850), (0.05, 0.1, 0.85))
    assert ours == pytest.approx(expected)
    assert ours == pytest.approx(check_srm([48, 102, 850], [0.05, 0.1, 0.85]))


@pytest.mark.parametrize("counts", [(0, 0), (0, 7)])
def test_chi_square_of_nothing_or_of_one_arm_is_no_evidence(counts: tuple[int, int]) -> None:
    assert chi_square_p_value(counts, (0.0, 1.0)) == 1.0


@pytest.mark.parametrize("shares", [(0.5, 0.4), (-0.1, 1.1), (float("nan"), 1.0)])
def test_refuses_shares_that_are_none(shares: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="sum to 1"):
        begin(shares)
