"""How sure a version is, from held-out rows with the truth: a temperature, and scores for conformal sets."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.stats.conformal import absolute_residuals, aps_scores, lac_scores, of_truth
from slipway.stats.temperature import apply_temperature, fit_temperature

Floats = NDArray[np.float64]

MIN_ROWS: Final = 40
_TEMPERATURE_EVERY: Final = (
    4  # every fourth row sets the temperature; the others, which it never saw, the sets
)


def _none() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Of a classifier `temperature`, `lac` and `aps`, of a regressor `residuals`; scores ascend."""

    temperature: float = 1.0
    lac: NDArray[Any] = field(default_factory=_none)
    aps: NDArray[Any] = field(default_factory=_none)
    residuals: NDArray[Any] = field(default_factory=_none)
    rows: int = 0


def calibrate_classes(probabilities: NDArray[Any], truth: NDArray[np.int64], *, seed: int = 0) -> Calibration:
    """Calibrate a classifier.

    Args:
        probabilities: Its answers to rows that it has not learned from, shape (rows, classes).
        truth: Codes of the classes.
        seed: Of the draws of APS.
    Raises:
        InvalidInput: Too few rows.
    """
    _check_rows(len(truth))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))
    numbers, codes = np.asarray(probabilities, dtype=np.float64)[order], truth[order]
    is_first = np.arange(len(codes)) % _TEMPERATURE_EVERY == 0
    temperature = fit_temperature(numbers[is_first], codes[is_first])
    softened = apply_temperature(numbers[~is_first], temperature)
    rest = codes[~is_first]
    return Calibration(
        temperature=temperature,
        lac=of_truth(lac_scores(softened), rest),
        aps=of_truth(aps_scores(softened, rng.random(len(rest))), rest),
        rows=len(truth),
    )


def calibrate_numbers(predicted: NDArray[Any], truth: NDArray[Any]) -> Calibration:
    """Calibrate a regressor.

    Raises:
        InvalidInput: Too few rows.
    """
    _check_rows(len(truth))
    return Calibration(residuals=absolute_residuals(predicted, truth), rows=len(truth))


def _check_rows(rows: int) -> None:
    if rows < MIN_ROWS:
        raise InvalidInput(
            f"{rows} held-out rows with the truth are too few to calibrate; {MIN_ROWS} are needed"
        )
