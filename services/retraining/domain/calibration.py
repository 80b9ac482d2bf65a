"""How far a classifier's probabilities can be believed, and the temperature that would mend them.

Source: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017:
expected calibration error is equation 3.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.retraining.domain.scores import Codes, Probabilities, log_loss
from slipway.stats.temperature import apply_temperature, fit_temperature

BINS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Rows whose confidence lies in [low, high): how sure the model was, how often it was right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A temperature fitted on held-out rows; 1 leaves the probabilities as they are."""

    temperature: float
    ece_before: float
    ece_after: float
    log_loss_before: float
    log_loss_after: float
    reliability: tuple[ReliabilityBin, ...]


def calibrate(probabilities: Probabilities, truth: Codes) -> Calibration:
    """Fit the temperature and measure the error before and after, on the same rows."""
    before = np.asarray(probabilities, dtype=np.float64)
    temperature = fit_temperature(before, truth)
    after = apply_temperature(before, temperature)
    return Calibration(
        temperature=temperature,
        ece_before=expected_calibration_error(before, truth),
        ece_after=expected_calibration_error(after, truth),
        log_loss_before=log_loss(before, truth),
        log_loss_after=log_loss(after, truth),
        reliability=reliability(before, truth),
    )


def expected_calibration_error(probabilities: Probabilities, truth: Codes) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, weighted by rows."""
    table = reliability(probabilities, truth)
    return sum(b.rows * abs(b.confidence - b.accuracy) for b in table) / max(1, len(truth))


def reliability(probabilities: Probabilities, truth: Codes) -> tuple[ReliabilityBin, ...]:
    """The non-empty bins of confidence, lowest first."""
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    is_right = probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return tuple(
        ReliabilityBin(
            low=place / BINS,
            high=(place + 1) / BINS,
            rows=int(inside.sum()),
            confidence=float(confidence[inside].mean()),
            accuracy=float(is_right[inside].mean()),
        )
        for place in range(BINS)
        if (inside := places == place).any()
    )
