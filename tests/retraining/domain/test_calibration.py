import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retraining.domain.calibration import calibrate, expected_calibration_error, reliability
from slipway.stats.temperature import apply_temperature, fit_temperature

RNG = np.random.default_rng(7)


def rows(count: int, *, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that would be right if their logits were divided by `temperature`."""
    logits = RNG.normal(size=(count, 3)) * 2
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([RNG.choice(3, p=p) for p in true])
    return apply_temperature(true, 1 / temperature), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_data_is_found(temperature: float) -> None:
    probabilities, truth = rows(6000, temperature=temperature)
    assert fit_temperature(probabilities, truth) == pytest.approx(temperature, rel=0.1)


def test_overconfidence_is_measured_and_mended() -> None:
    it = calibrate(*rows(4000, temperature=3.0))
    assert it.ece_before > 0.1 > 0.05 > it.ece_after
    assert it.log_loss_after < it.log_loss_before
    assert sum(b.rows for b in it.reliability) == 4000


def test_the_calibration_error_of_a_worked_example() -> None:
    # Bin 0.6..0.7: two rows, confidence 0.65, one right; bin 0.9..1: two rows, confidence 0.95, both right.
    probabilities = np.array([[0.65, 0.35], [0.35, 0.65], [0.95, 0.05], [0.05, 0.95]])
    truth = np.array([0, 0, 0, 1])
    assert expected_calibration_error(probabilities, truth) == pytest.approx((2 * 0.15 + 2 * 0.05) / 4)
    assert [(b.low, b.rows, b.accuracy) for b in reliability(probabilities, truth)] == [
        (0.6, 2, 0.5),
        (0.9, 2, 1.0),
    ]


@given(st.floats(0.1, 10), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_temperature_keeps_the_order_of_classes(temperature: float, shares: list[float]) -> None:
    probabilities = np.array([[p, 1 - p] for p in shares])
    scaled = apply_temperature(probabilities, temperature)
    assert scaled.sum(axis=1) == pytest.approx(1)
    assert ((scaled[:, 0] >= scaled[:, 1]) | (probabilities[:, 0] < probabilities[:, 1] + 1e-12)).all()
