"""Calibration on held-out rows."""

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.stats.confidence import MIN_ROWS, calibrate_classes, calibrate_numbers
from slipway.stats.temperature import apply_temperature

RNG = np.random.default_rng(0)


def test_overconfidence_is_found_and_the_sets_rest_on_rows_that_did_not_set_the_temperature() -> None:
    honest = RNG.dirichlet((1, 1, 1), size=4000)
    truth = np.array([RNG.choice(3, p=p) for p in honest])
    made = calibrate_classes(apply_temperature(honest, 1 / 3), truth)
    assert made.temperature == pytest.approx(3, rel=0.15)
    assert len(made.lac) == len(made.aps) == 2048
    assert made.rows == 4000
    assert len(calibrate_classes(honest[:100], truth[:100]).lac) == 75


def test_residuals_are_kept_in_order() -> None:
    made = calibrate_numbers(np.arange(50.0), np.zeros(50))
    np.testing.assert_array_equal(made.residuals, np.arange(50.0))


def test_too_few_rows_are_refused() -> None:
    few = np.full((MIN_ROWS - 1, 2), 0.5)
    with pytest.raises(InvalidInput, match=f"{MIN_ROWS} are needed"):
        calibrate_classes(few, np.zeros(len(few), dtype=np.int64))
    with pytest.raises(InvalidInput, match="too few"):
        calibrate_numbers(few[:, 0], few[:, 1])
