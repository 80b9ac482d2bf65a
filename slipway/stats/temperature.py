"""Probabilities made as sure as they are right, by one number.

A temperature and not isotonic regression: it has one parameter, so some dozens of held-out rows fit it, and
it leaves the order of the classes alone; isotonic regression overfits below about a thousand rows.
Sources: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 9;
    Niculescu-Mizil, Caruana, Predicting good probabilities with supervised learning, ICML 2005, section 5.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LOWEST, _HIGHEST = 0.05, 20.0  # temperatures outside say that the model is broken, not miscalibrated
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_STEPS: Final = 40  # narrows the interval by 2e-8
_SMALLEST: Final = 1e-12


def fit_temperature(probabilities: NDArray[Any], truth: NDArray[np.int64]) -> float:
    """The temperature with the least log loss.

    The log loss is convex in 1/T, so it has one minimum over ln T and golden-section search finds it.
    Source: Press et al., Numerical Recipes, 3rd edition, 2007, section 10.2.
    """
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        softened = apply_temperature(probabilities, math.exp(log_temperature))
        return float(-np.log(np.clip(softened[rows, truth], _SMALLEST, 1.0)).mean())

    return math.exp(_golden_section(loss, low=math.log(_LOWEST), high=math.log(_HIGHEST)))


def apply_temperature(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """softmax(ln p / T), shape (rows, classes)."""
    logits = np.log(np.clip(probabilities, _SMALLEST, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


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
