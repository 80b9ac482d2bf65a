import numpy as np
import pytest
from scipy.stats import binom

from services.rollout.domain.arms_analysis import Direction, analyse_means, analyse_shares
from services.rollout.domain.moments import Moments
from slipway.errors import InvalidInput

SHARES = {"now": (100, 1000), "b": (150, 1000), "c": (104, 1000)}


def test_each_arm_is_compared_with_the_control() -> None:
    b, c = analyse_shares(SHARES, control="now", alpha=0.05, is_larger_better=True)
    assert (b.arm, b.direction) == ("b", Direction.BETTER)
    assert (c.arm, c.direction) == ("c", Direction.OPEN)
    assert b.p_value == pytest.approx(2 * b.comparison.p_value)
    assert c.p_value == pytest.approx(c.comparison.p_value)


def test_more_is_worse_where_less_is_wanted() -> None:
    b, _ = analyse_shares(SHARES, control="now", alpha=0.05, is_larger_better=False)
    assert b.direction is Direction.WORSE


def test_means_are_compared_the_same_way() -> None:
    arms = {
        "now": Moments(count=200, mean=10.0, squares=199.0),
        "b": Moments(count=200, mean=11.0, squares=199.0),
        "c": Moments(count=200, mean=9.0, squares=199.0),
    }
    found = analyse_means(arms, control="now", alpha=0.05, is_larger_better=True)
    assert [r.direction for r in found] == [Direction.BETTER, Direction.WORSE]


def test_more_arms_make_wider_intervals() -> None:
    (alone,) = analyse_shares(
        {"now": (100, 1000), "b": (150, 1000)}, control="now", alpha=0.05, is_larger_better=True
    )
    among, _ = analyse_shares(SHARES, control="now", alpha=0.05, is_larger_better=True)
    assert among.comparison.low < alone.comparison.low


def test_five_equal_arms_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(41)
    false = 0
    for events in rng.binomial(1000, 0.1, (200, 5)):
        arms = {f"arm {i}": (int(n), 1000) for i, n in enumerate(events)}
        results = analyse_shares(arms, control="arm 0", alpha=0.05, is_larger_better=True)
        false += any(r.direction is not Direction.OPEN for r in results)
    assert false <= binom.isf(0.001, 200, 0.05)


@pytest.mark.parametrize(("arms", "control"), [({"now": (1, 2)}, "now"), (SHARES, "d"), ({}, "now")])
def test_refuses_a_test_without_two_arms(arms: dict[str, tuple[int, int]], control: str) -> None:
    with pytest.raises(InvalidInput, match="control"):
        analyse_shares(arms, control=control, alpha=0.05, is_larger_better=True)
