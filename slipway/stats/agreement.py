"""How much an answer is at odds with those that the version gave to the training rows nearest to the row.

Rows that somebody has searched until the answer flipped end just across a boundary, in the midst of the
training rows: no distance from these shows them. But the rows around them are answered otherwise.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.stats.density_score import LEAST_SCALE, DensityModel, threshold_of

Floats = NDArray[np.float32]
Codes = NDArray[np.int64]

MAX_REFERENCES: Final = 1024
MAX_NUMBERS: Final = 56_000  # in the reference rows, one byte each
STEPS: Final = 255  # of a column's range, by which references are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementModel:
    """Training rows with the version's own answers to them.

    Attributes:
        low: The least of each column of the points of `slipway.stats.columns`, shape (columns,).
        weights: Inverse ranges of these columns; 0 of one that is constant. By ranges and not by spread: a
            column that hardly ever moves, as an image's edge, would else outweigh all the others.
        references: Rows in these units, those of one class after the other, shape (references, columns).
        counts: How many of them each class has, shape (classes,).
        calibration: Scores, threshold 1, of rows that had no part in the fit, in the order of the density's.
        threshold: Above it an answer is suspicious.
        squares: Squared lengths of the references.
        turned: The references times -2, shape (columns, references).
        starts: Where the references of each class begin, of those classes that have any.
        places: Which of these a class is; -1 where it has none, shape (classes,).
    """

    low: Floats
    weights: Floats
    references: Floats
    counts: Codes
    calibration: Floats
    threshold: float
    squares: Floats
    turned: Floats
    starts: Codes
    places: Codes


def model_of(
    *, low: Floats, weights: Floats, references: Floats, counts: Codes, calibration: Floats
) -> AgreementModel:
    """With what scoring needs again and again."""
    present = counts > 0
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return AgreementModel(
        low=low,
        weights=weights,
        references=references,
        counts=counts,
        calibration=calibration,
        threshold=1.0,
        squares=np.einsum("ij,ij->i", references, references),
        turned=np.ascontiguousarray(-2 * references.T),
        starts=begins[present].astype(np.int64),
        places=np.where(present, np.cumsum(present) - 1, -1),
    )


def score(model: AgreementModel, points: Floats, codes: Codes) -> Floats:
    """Each answer's strangeness over the threshold: above 1 is suspicious.

    Args:
        model: Of the version that answered.
        points: The rows, as `to_points` gives them.
        codes: Places of their answers among the classes.
    """
    scores: Floats = raw_scores(model, points, codes) / np.float32(model.threshold)
    return scores


def raw_scores(model: AgreementModel, points: Floats, codes: Codes) -> Floats:
    """Scores before the threshold, shape (rows,): 0 is at home, 1/2 as near to others, 1 has none of its own.

    Formula: o / (o + e), with o the distance to the nearest reference that got the same answer, and e that
        to the nearest with any other.
    Source: Jiang, Kim, Guan, Gupta, To trust or not to trust a classifier, NeurIPS 2018, algorithm 2, whose
        trust score is e / o; here it is bounded and turned, so that more is stranger.
    """
    rows = (points - model.low) * model.weights
    squares = rows @ model.turned
    squares += model.squares
    nearest = np.minimum.reduceat(squares, model.starts, axis=1)
    nearest += (rows * rows).sum(axis=1, keepdims=True)
    distances = np.sqrt(np.maximum(nearest, LEAST_SCALE))
    at, places = np.arange(len(rows)), model.places[codes]
    own = distances[at, places]
    distances[at, places] = np.inf
    others = distances.min(axis=1)
    scores: Floats = own / (own + others)  # 0 where there are no others
    return np.where(places < 0, np.float32(1.0), scores) if places.min() < 0 else scores


def together(
    density: DensityModel, agreement: AgreementModel, false_positive_rate: float
) -> tuple[DensityModel, AgreementModel]:
    """Both with thresholds, so that a row like the training rows exceeds any of both at this rate only.

    Each score is divided by its own quantile, so that both have their say; the larger is then calibrated as
    one score is. So the rate is spent once, not twice.

    Raises:
        InvalidInput: There are too few calibration rows for so small a rate.
    """
    far = threshold_of(density.calibration, false_positive_rate)
    strange = threshold_of(np.sort(agreement.calibration), false_positive_rate)
    larger = np.maximum(density.calibration / far, agreement.calibration / strange)
    factor = threshold_of(np.sort(larger).astype(np.float32), false_positive_rate)
    return replace(density, threshold=far * factor), replace(agreement, threshold=strange * factor)


def encoded(references: Floats) -> NDArray[Any]:
    """One byte for each number; all lie between 0 and 1."""
    return np.round(references * STEPS).astype(np.uint8)


def decoded(stored: NDArray[Any]) -> Floats:
    """What `encoded` made."""
    references: Floats = stored.astype(np.float32) / np.float32(STEPS)
    return references
