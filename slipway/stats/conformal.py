"""Sets of answers that hold the truth with a stated probability, whatever the model is worth.

Split conformal prediction: scores of held-out rows that the model has not learned from say how strange the
truth may look; what looks no stranger belongs to the set. Valid where new rows are exchangeable with these.
Source: Vovk, Gammerman, Shafer, Algorithmic learning in a random world, 2005, section 2.2; in the words of
    Angelopoulos, Bates, A gentle introduction to conformal prediction, 2023, section 1 (arXiv 2107.07511).
"""

from math import ceil, inf
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Method = Literal["lac", "aps"]

MAX_SCORES: Final = 2048  # kept of held-out rows, evenly from all over their order
_ROUNDING: Final = 1e-9


def lac_scores(probabilities: NDArray[Any]) -> Floats:
    """Strangeness of each class, shape (rows, classes): 1 - its probability.

    The sets are the smallest on average; they are empty where no class is sure enough.
    Source: Sadinle, Lei, Wasserman, Least ambiguous set-valued classifiers with bounded error levels, Journal
        of the American Statistical Association 114(525), 2019, equation 4.
    """
    scores: Floats = 1.0 - np.asarray(probabilities, dtype=np.float64)
    return scores


def aps_scores(probabilities: NDArray[Any], draws: NDArray[Any]) -> Floats:
    """Strangeness of each class: the probability of all likelier ones, and a drawn part of its own.

    The sets adapt to how hard a row is.

    Args:
        probabilities: Shape (rows, classes).
        draws: Uniform on [0, 1), one for each row.
    Source: Romano, Sesia, Candes, Classification with valid and adaptive coverage, NeurIPS 2020, equation 7.
    """
    numbers = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(-numbers, axis=1, kind="stable")
    ordered = np.take_along_axis(numbers, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    scores = np.empty_like(numbers)
    np.put_along_axis(scores, order, before + np.asarray(draws)[:, None] * ordered, axis=1)
    return scores


def of_truth(scores: Floats, truth: NDArray[np.int64]) -> Floats:
    """How strange the truth looked, ascending and at most MAX_SCORES of it."""
    return thinned(scores[np.arange(len(truth)), truth])


def thinned(scores: NDArray[Any]) -> Floats:
    """In ascending order, and at most MAX_SCORES, evenly from among them."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if len(ordered) <= MAX_SCORES:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, MAX_SCORES).round().astype(np.int64)]


def limit(calibration: NDArray[Any], coverage: float) -> float:
    """The strangest that still belongs to the set: the ceil((n + 1) coverage)-th smallest of n scores.

    Infinite where n is too small for the coverage: then everything belongs to the set.
    Source: Angelopoulos and Bates, section 1.1.
    """
    place = ceil((len(calibration) + 1) * coverage - _ROUNDING)
    return float(calibration[place - 1]) if place <= len(calibration) else inf


def absolute_residuals(predicted: NDArray[Any], truth: NDArray[Any]) -> Floats:
    """How far off each prediction of a number was, ascending; the interval is the prediction +- `limit`.

    Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, Distribution-free predictive inference for
        regression, Journal of the American Statistical Association 113(523), 2018, algorithm 2.
    """
    return thinned(np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)))
