from math import exp, inf, log, log1p, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rollout.domain.betting import FRACTIONS, NO_BETS, Bets, bet, log_mean_exp, merge
from slipway.errors import InvalidInput


def test_no_bets_are_no_evidence() -> None:
    assert NO_BETS.log_e_value == 0


def test_a_gain_multiplies_each_wealth_as_the_formula_says() -> None:
    after = bet(NO_BETS, 0.5, worst=2.0)
    assert after.log_wealth == tuple(log1p(f * 0.25) for f in FRACTIONS)


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 1))
def test_a_bet_on_a_null_that_holds_never_grows_on_average(up: float, down: float, part: float) -> None:
    chance_up = part * down / (up + down)  # E[gain] = 0 at part 1, below otherwise
    won, lost = bet(NO_BETS, up, worst=down), bet(NO_BETS, -down, worst=down)
    expected = chance_up * exp(won.log_e_value) + (1 - chance_up) * exp(lost.log_e_value)
    assert expected <= 1 + 1e-9


def test_bets_after_one_another_multiply() -> None:
    first, second = bet(NO_BETS, 1.0, worst=1.0), bet(NO_BETS, -0.5, worst=1.0)
    both = bet(bet(NO_BETS, 1.0, worst=1.0), -0.5, worst=1.0)
    assert merge(first, second).log_wealth == pytest.approx(both.log_wealth)


@pytest.mark.parametrize(("gain", "worst"), [(nan, 1.0), (inf, 1.0), (1.0, 0.0), (1.0, nan), (-1.1, 1.0)])
def test_refuses_what_would_void_the_guarantee(gain: float, worst: float) -> None:
    with pytest.raises(InvalidInput, match="worst loss"):
        bet(NO_BETS, gain, worst=worst)


def test_a_total_loss_leaves_something_to_play_with() -> None:
    assert bet(NO_BETS, -1.0, worst=1.0).log_e_value > -inf


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=7))
def test_log_mean_exp_is_the_log_of_the_mean(values: list[float]) -> None:
    assert log_mean_exp(values) == pytest.approx(log(sum(map(exp, values)) / len(values)))


def test_log_mean_exp_does_not_overflow() -> None:
    assert Bets(log_wealth=(5000.0, 5000.0)).log_e_value == 5000.0
