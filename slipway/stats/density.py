"""Fitting the distance from training rows; which distance counts is decided on rows held out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.stats.columns import Texts, fit_columns, to_points
from slipway.stats.covariance import (
    Whitening,
    ledoit_wolf_shrinkage,
    log_likelihood,
    shrunk_covariance,
    whiten,
)
from slipway.stats.density_score import (
    LEAST_SCALE,
    MAX_CALIBRATION,
    MAX_NUMBERS,
    MAX_REFERENCES,
    DensityModel,
    Detector,
    at_rate,
    from_middle,
    from_neighbours,
    raw_scores,
    rows_needed,
    score,
    threshold_of,
)

Floats = NDArray[np.float32]
__all__ = ["DensityModel", "apart", "at_rate", "fit", "score"]

MAX_COLUMNS: Final = 1024
MAX_ROWS: Final = 20_000  # drawn from more: what is beyond moves no threshold
MIN_ROWS: Final = 20
_CALIBRATION_SHARE: Final = 0.4
_FOLDS: Final = 3
_TYPICAL: Final = 0.9  # quantile at which both distances are made alike
_SHRINKAGES: Final = (
    1.0,
    0.1,
    0.01,
    0.001,
)  # times Ledoit and Wolf's; the likelihood of held-out rows decides
_LEAST_SHRINKAGE: Final = 1e-6
_SWAPPED: Final = 0.5  # share of a probe's columns that come from another row
_MARGIN: Final = 0.02  # by so much AUROC a single distance must beat both together
_HALF_MOST: Final = 65_504.0
_DETECTORS: Final[tuple[Detector, ...]] = ("mahalanobis", "neighbours")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    numbers: Floats
    texts: tuple[NDArray[Any], ...]

    def take(self, rows: NDArray[np.intp]) -> "_Part":
        return _Part(numbers=self.numbers[rows], texts=tuple(column[rows] for column in self.texts))

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Which rows are learned from, and which only set thresholds."""

    learned: NDArray[np.intp]
    held_out: NDArray[np.intp]


def fit(
    numbers: NDArray[Any], *, texts: Texts = (), false_positive_rate: float = 0.01, seed: int = 0
) -> DensityModel:
    """Fit to training rows; 40 % of them take no part but to set the threshold.

    Args:
        numbers: Numeric features, shape (rows, numeric features); NaN is missing.
        texts: Categorical features, one sequence of `rows` texts each.
        false_positive_rate: Share of rows like these that may be called suspicious.
        seed: Of the draw.
    Raises:
        InvalidInput: Too few rows for the rate, too many columns, or a number that is infinite.
    """
    part = _checked(numbers, texts)
    rng = np.random.default_rng(seed)
    rows = _drawn_apart(len(part), rng, false_positive_rate=false_positive_rate)
    held_out = part.take(rows.held_out)
    model = _chosen(part.take(rows.learned), rng)
    calibration = np.sort(raw_scores(model, _points(model, held_out)))
    return replace(model, calibration=calibration, threshold=threshold_of(calibration, false_positive_rate))


def apart(rows: int, *, false_positive_rate: float, seed: int = 0) -> Apart:
    """How `fit` parts so many rows, for what is fitted and calibrated beside it.

    Raises:
        InvalidInput: Too few rows for the rate.
    """
    return _drawn_apart(rows, np.random.default_rng(seed), false_positive_rate=false_positive_rate)


def _drawn_apart(count: int, rng: np.random.Generator, *, false_positive_rate: float) -> Apart:
    order = rng.permutation(count)[:MAX_ROWS]
    held = max(rows_needed(false_positive_rate), int(len(order) * _CALIBRATION_SHARE))
    if held > len(order) - MIN_ROWS:
        raise InvalidInput(
            f"input score: {len(order)} rows are too few for a false-positive rate of "
            f"{false_positive_rate:g}, which takes {rows_needed(false_positive_rate) + MIN_ROWS}"
        )
    return Apart(held_out=order[:held][:MAX_CALIBRATION], learned=order[held:])


def _checked(numbers: NDArray[Any], texts: Texts) -> _Part:
    matrix = np.asarray(numbers, dtype=np.float32)
    columns = matrix.shape[1] + len(texts)
    if columns > MAX_COLUMNS:
        raise InvalidInput(f"input score: {columns} features; at most {MAX_COLUMNS}")
    if np.isinf(matrix).any():
        raise InvalidInput("input score: a training row holds an infinite number")
    return _Part(numbers=matrix, texts=tuple(np.array(column, dtype=object) for column in texts))


def _chosen(part: _Part, rng: np.random.Generator) -> DensityModel:
    """The model with the detector that tells probes from held-out rows best."""
    folds = np.array_split(rng.permutation(len(part)), _FOLDS)
    points = to_points(fit_columns(part.numbers, part.texts), part.numbers, part.texts)
    shrinkage = _best_shrinkage(points, folds)
    distances, probed = [], []
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(part)), fold)
        model = _fitted(part.take(rest), shrinkage, rng)
        held_out = part.take(fold)
        distances.append(_distances(model, held_out))
        probed.append(_distances(model, _probes(held_out, rng)))
    benign, probes = np.concatenate(distances, axis=1), np.concatenate(probed, axis=1)
    scales = np.maximum(np.quantile(benign, _TYPICAL, axis=1), LEAST_SCALE)
    return replace(
        _fitted(part, shrinkage, rng),
        detector=_best_detector(benign / scales[:, None], probes / scales[:, None]),
        middle_scale=float(scales[0]),
        neighbour_scale=float(scales[1]),
    )


def _best_shrinkage(points: Floats, folds: Sequence[NDArray[np.intp]]) -> float:
    """Source of the candidates: Ledoit and Wolf's optimum is for the covariance, not for its inverse."""
    best = max(_LEAST_SHRINKAGE, ledoit_wolf_shrinkage(points - points.mean(axis=0)))
    candidates = [max(_LEAST_SHRINKAGE, best * factor) for factor in _SHRINKAGES]
    totals = np.zeros(len(candidates))
    for fold in folds:
        rest = np.delete(points, fold, axis=0).astype(np.float64)
        middle = rest.mean(axis=0)
        for at, shrinkage in enumerate(candidates):
            covariance = shrunk_covariance(rest - middle, shrinkage)
            totals[at] += log_likelihood(points[fold] - middle, covariance)
    return candidates[int(totals.argmax())]


def _fitted(part: _Part, shrinkage: float, rng: np.random.Generator) -> DensityModel:
    columns = fit_columns(part.numbers, part.texts)
    points = to_points(columns, part.numbers, part.texts).astype(np.float64)
    width = points.shape[1]
    kept = min(width, max(1, MAX_NUMBERS // width))
    whitening = whiten(shrunk_covariance(points - points.mean(axis=0), shrinkage), kept)
    projection = (whitening.directions / np.sqrt(whitening.variances)).astype(np.float32)
    references = _rounded(_drawn(points.astype(np.float32) @ projection, rng))
    return DensityModel(
        columns=columns,
        projection=projection,
        variances=whitening.variances.astype(np.float32),
        rest_precision=_precision(whitening),
        references=references,
        reference_squares=np.einsum("ij,ij->i", references, references),
        detector="both",
        middle_scale=1.0,
        neighbour_scale=1.0,
        calibration=np.empty(0, dtype=np.float32),
        threshold=1.0,
    )


def _precision(whitening: Whitening) -> float:
    return 1 / whitening.rest_variance if whitening.rest_variance else 0.0


def _rounded(references: Floats) -> Floats:
    """As they are kept, in half precision: calibrated is what will be scored."""
    return np.clip(references, -_HALF_MOST, _HALF_MOST).astype(np.float16).astype(np.float32)


def _drawn(along: Floats, rng: np.random.Generator) -> Floats:
    most = min(MAX_REFERENCES, MAX_NUMBERS // along.shape[1])
    if len(along) <= most:
        return along
    drawn: Floats = along[np.sort(rng.choice(len(along), most, replace=False))]
    return drawn


def _points(model: DensityModel, part: _Part) -> Floats:
    return to_points(model.columns, part.numbers, part.texts)


def _distances(model: DensityModel, part: _Part) -> Floats:
    """Both, shape (2, rows)."""
    points = _points(model, part)
    along = points @ model.projection
    return np.stack([from_middle(model, points, along), from_neighbours(model, along)])


def _probes(part: _Part, rng: np.random.Generator) -> _Part:
    """Rows that might be and are not: some columns of each come from another row.

    What is drawn from the product of the marginals is the usual contrast by which density estimation becomes
    a question of telling two classes apart.
    Source: Hastie, Tibshirani, Friedman, The elements of statistical learning, 2nd edition, 2009, 14.2.4.
    """
    others = part.take(rng.permutation(len(part)))
    swapped = rng.random(part.numbers.shape) < _SWAPPED
    texts = tuple(
        np.where(rng.random(len(part)) < _SWAPPED, other, own)
        for own, other in zip(part.texts, others.texts, strict=True)
    )
    return _Part(numbers=np.where(swapped, others.numbers, part.numbers), texts=texts)


def _best_detector(benign: NDArray[Any], probes: NDArray[Any]) -> Detector:
    """Both together, unless one alone is clearly better: what is not probed may need the other."""
    both = _auroc(benign.max(axis=0), probes.max(axis=0))
    alone = [_auroc(benign[at], probes[at]) for at in range(len(_DETECTORS))]
    best = int(np.argmax(alone))
    return _DETECTORS[best] if alone[best] > both + _MARGIN else "both"


def _auroc(low: NDArray[Any], high: NDArray[Any]) -> float:
    """The chance that a row of `high` exceeds one of `low`; ties count one half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left") + np.searchsorted(ordered, high, side="right")
    return float(below.mean() / (2 * len(low)))
