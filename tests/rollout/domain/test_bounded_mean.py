import numpy as np
import pytest
from scipy.stats import binom

from services.rollout.domain.bounded_mean import BoundedMean, interval, observe
from slipway.errors import InvalidInput


def test_before_any_value_it_may_be_anything() -> None:
    assert interval(BoundedMean(alpha=0.05)) == (0.0, 1.0)


def test_the_first_value_costs_what_the_formula_says() -> None:
    """Stake 1/2, estimate 1/2 before: psi = ln 2 - 1/2 in place of (ln 2 - 1/2) / 4 times 4 / 4."""
    mean = observe(BoundedMean(alpha=0.05), 1.0)
    assert (mean.stakes, mean.staked) == (0.5, 0.5)
    assert mean.penalty == pytest.approx(0.25 * (np.log(2) - 0.5))


def test_covers_the_mean_at_every_moment_and_gets_narrow() -> None:
    rng = np.random.default_rng(31)
    missed, widths = 0, []
    for values in rng.beta(0.5, 4.5, (40, 800)):
        mean, is_missed = BoundedMean(alpha=0.05), False
        for value in values:
            mean = observe(mean, float(value))
            low, high = interval(mean)
            is_missed |= not low <= 0.1 <= high
        missed += is_missed
        widths.append(high - low)
    assert missed <= binom.isf(0.001, 40, 0.05)
    assert float(np.median(widths)) < 0.06  # Hoeffding's interval for one look at the end: 0.096


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_refuses_values_outside_the_bounds(value: float) -> None:
    with pytest.raises(InvalidInput, match="within 0 and 1"):
        observe(BoundedMean(alpha=0.05), value)
