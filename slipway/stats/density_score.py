"""How far a row lies from a version's training rows, as a multiple of what few of these rows exceed.

Two distances, in coordinates in which the training rows have no correlations: from their middle
(Mahalanobis) and from their nearest neighbours. Which of them counts, or the larger, is decided by the fit.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.stats.columns import Columns, Texts, to_points

Floats = NDArray[np.float32]
Detector = Literal["mahalanobis", "neighbours", "both"]

MAX_REFERENCES: Final = 512
MAX_CALIBRATION: Final = 4096  # scores kept: the smallest rate that they can show is one in 4097
MAX_NUMBERS: Final = 28_000  # in the reference rows, and in the projection: a profile stays below 320 KiB
LEAST_SCALE: Final = 1e-6  # of distances between whitened points: where all rows are alike
NEIGHBOURS: Final = 3  # the third nearest: one near reference row may be chance


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityModel:
    """What scoring needs of the training rows.

    Attributes:
        columns: How rows become points.
        projection: To whitened coordinates, shape (columns, kept).
        variances: Of the points along these, shape (kept,).
        rest_precision: Inverse variance of each direction that is left out; 0 where none is.
        references: Training rows in whitened coordinates, shape (references, kept).
        reference_squares: Their squared lengths, shape (references,).
        detector: Which distances count.
        middle_scale: The distance from the middle that is as far as `neighbour_scale` is from neighbours.
        neighbour_scale: See there.
        calibration: Scores, threshold 1, of rows that had no part in the fit, ascending.
        threshold: Above it a row is suspicious.
    """

    columns: Columns
    projection: Floats
    variances: Floats
    rest_precision: float
    references: Floats
    reference_squares: Floats
    detector: Detector
    middle_scale: float
    neighbour_scale: float
    calibration: Floats
    threshold: float


def score(model: DensityModel, numbers: NDArray[Any], *, texts: Texts = ()) -> Floats:
    """Each row's distance over the threshold: above 1 is suspicious.

    Args:
        model: Of the version that is asked.
        numbers: Numeric features, shape (rows, numeric features); NaN is missing.
        texts: Categorical features, one sequence each, in the order of the fit.
    """
    scores: Floats = raw_scores(model, to_points(model.columns, numbers, texts)) / np.float32(model.threshold)
    return scores


def p_values(model: DensityModel, scores: NDArray[Any]) -> NDArray[np.float64]:
    """The share of rows like the training rows that lie at least so far; the smallest is 1 / (n + 1).

    Args:
        model: Of the version.
        scores: As `score` gives them.
    Formula: (1 + #{calibration >= s}) / (n + 1); at most t with probability at most t, for any n and any law,
        where the row and the calibration rows are exchangeable.
    Source: Bates, Candes, Lei, Romano, Sesia, Testing for outliers with conformal p-values, Annals of
        Statistics 51(1), 2023, equation 2.
    """
    calibration = model.calibration
    raw = np.asarray(scores, dtype=np.float32) * np.float32(model.threshold)
    below = np.searchsorted(calibration, raw, side="left")
    values: NDArray[np.float64] = (1 + len(calibration) - below) / (1 + len(calibration))
    return values


def at_rate(model: DensityModel, false_positive_rate: float) -> DensityModel:
    """The model with the threshold that a row like the training rows exceeds with at most this probability.

    Raises:
        InvalidInput: There are too few calibration rows for so small a rate.
    """
    return replace(model, threshold=threshold_of(model.calibration, false_positive_rate))


def threshold_of(calibration: Floats, false_positive_rate: float) -> float:
    """The smallest calibration score whose exceedance has a conformal p-value of at most the rate.

    Formula: the ceil((n + 1)(1 - rate))-th smallest of n scores.
    Source: Vovk, Gammerman, Shafer, Algorithmic learning in a random world, 2005, section 2.2.
    Raises:
        InvalidInput: There is no such score.
    """
    count = len(calibration)
    place = ceil((count + 1) * (1 - false_positive_rate) - 1e-9)
    if place > count:
        needed = rows_needed(false_positive_rate)
        raise InvalidInput(
            f"input score: {count} held-out rows cannot show a false-positive rate of "
            f"{false_positive_rate:g}, which takes {needed}; raise defence.density.false_positive_rate, or "
            "register the version with more rows"
        )
    return max(float(calibration[place - 1]), LEAST_SCALE)


def rows_needed(false_positive_rate: float) -> int:
    """The fewest calibration rows by which a rate can be kept."""
    return ceil(1 / false_positive_rate - 1e-9) - 1


def raw_scores(model: DensityModel, points: Floats) -> Floats:
    """Scores before the threshold, shape (rows,)."""
    along = points @ model.projection
    if model.detector == "mahalanobis":
        return _middle(model, points, along)
    near: Floats = from_neighbours(model, along) / np.float32(model.neighbour_scale)
    if model.detector == "neighbours":
        return near
    return np.maximum(near, _middle(model, points, along))


def _middle(model: DensityModel, points: Floats, along: Floats) -> Floats:
    distances: Floats = from_middle(model, points, along) / np.float32(model.middle_scale)
    return distances


def from_middle(model: DensityModel, points: Floats, along: Floats) -> Floats:
    """Mahalanobis distance from the mean of the training rows.

    Source: Mahalanobis, On the generalised distance in statistics, Proceedings of the National Institute of
        Sciences of India 2(1), 1936; with Tipping and Bishop's variance for the directions left out.
    """
    squares = np.einsum("ij,ij->i", along, along)
    if model.rest_precision:
        inside = (along * along) @ model.variances
        rest = np.einsum("ij,ij->i", points, points) - inside
        squares = squares + np.maximum(rest, 0.0) * np.float32(model.rest_precision)
    distances: Floats = np.sqrt(squares)
    return distances


def from_neighbours(model: DensityModel, along: Floats) -> Floats:
    """Distance to the third nearest of the references, in whitened coordinates.

    Source: Ramaswamy, Rastogi, Shim, Efficient algorithms for mining outliers from large data sets, SIGMOD
        2000, definition 2.1.
    """
    place = min(NEIGHBOURS, len(model.references)) - 1
    squares = model.reference_squares - 2 * (along @ model.references.T)
    nearest = np.partition(squares, place, axis=1)[:, place] + np.einsum("ij,ij->i", along, along)
    distances: Floats = np.sqrt(np.maximum(nearest, 0.0))
    return distances
