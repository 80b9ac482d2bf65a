"""How far a classifier's probabilities can be believed, and the temperature that would mend them.

Source: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017:
expected calibration error is equation 3, temperature scaling equation 9.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.retraining.domain.scores import Codes, Probabilities, log_loss

BINS: Final = 10
_LOWEST, _HIGHEST = 0.05, 20.0  # temperatures outside say that the model is broken, not miscalibrated
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_STEPS: Final = 40  # narrows the interval by 2e-8
_SMALLEST: Final = 1e-12


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


def fit_temperature(probabilities: Probabilities, truth: Codes) -> float:
    """The temperature with the least log loss.

    The log loss is convex in 1/T, so it has one minimum over ln T and golden-section search finds it.
    Source: Press et al., Numerical Recipes, 3rd edition, 2007, section 10.2.
    """

    def loss(log_temperature: float) -> float:
        return log_loss(apply_temperature(probabilities, math.exp(log_temperature)), truth)

    return math.exp(_golden_section(loss, low=math.log(_LOWEST), high=math.log(_HIGHEST)))


def apply_temperature(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """softmax(ln p / T), shape (rows, classes)."""
    logits = np.log(np.clip(probabilities, _SMALLEST, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


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


def _golden_section(loss: Callable[[float], float], *, low: float, high: float) -> float:
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2
