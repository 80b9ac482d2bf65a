"""Rows of a table as points whose coordinates can be compared: numbers, categories, what is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Texts = Sequence[Any]  # a sequence of texts, or an array of them, for each categorical feature

MAX_CATEGORIES: Final = 256  # kept of one feature, the commonest; all others are as one that was never seen
_LEAST_SPREAD: Final = 0.02  # of a column, beside the columns' typical one: a constant is not infinitely sure
_BENDS: Final = (0.5, 0.05)  # quantiles of the sizes at which the bend may begin
_STRONGEST: Final = 10.0  # or so far below the least of them that all are on the logarithm
_FAR: Final = 1e4  # standard deviations: beyond it only the fact counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How rows become points.

    A number is centred and scaled; before that, one of a skewed law is drawn together by the inverse
    hyperbolic sine, a logarithm that knows negative numbers too. A category becomes its surprise, -ln of its
    share among the training rows; all that is missing becomes one column, the surprise of just these values
    being missing.

    Attributes:
        bend: 1 / s of the numbers that become asinh(x / s), 0 of those that stay; shape (numeric features,).
        center: Shape (columns,).
        scale: Inverse spread, shape (columns,).
        surprises: For each categorical feature: nats by category.
        unseen: For each categorical feature: nats of a category that no training row has.
        absent: For each number: nats that it takes to be missing, less those to be there.
    """

    bend: Doubles
    center: Doubles
    scale: Doubles
    surprises: tuple[Mapping[str, float], ...]
    unseen: tuple[float, ...]
    absent: Doubles


def fit_columns(numbers: NDArray[Any], texts: Texts) -> Columns:
    """Learn from training rows; shape (rows, numeric features), and one sequence per categorical feature."""
    rows = len(numbers)
    counts = np.isnan(numbers).sum(axis=0)
    tables = [_surprises(column, rows) for column in texts]
    values = np.asarray(numbers, dtype=np.float64)
    raw = Columns(
        bend=np.array([_bend(column[~np.isnan(column)]) for column in values.T]),
        center=np.zeros(0),
        scale=np.zeros(0),
        surprises=tuple(known for known, _ in tables),
        unseen=tuple(unseen for _, unseen in tables),
        absent=np.log((rows - counts + 1) / (counts + 1)),
    )
    points = _uncentred(raw, values, texts)
    center = _means(points)
    spread = np.sqrt(_means((points - center) ** 2))
    typical = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
    spread = np.maximum(spread, _LEAST_SPREAD * typical)
    return replace(raw, center=center, scale=1 / spread)


def to_points(columns: Columns, numbers: NDArray[Any], texts: Texts) -> Floats:
    """Points of mean 0 and variance 1 over the training rows, shape (rows, columns)."""
    points = (_uncentred(columns, numbers, texts) - columns.center) * columns.scale
    if np.abs(points).max() <= _FAR:  # most requests; a NaN is not
        return points.astype(np.float32)
    return np.clip(np.nan_to_num(points, nan=0.0), -_FAR, _FAR).astype(np.float32)


def _uncentred(columns: Columns, numbers: NDArray[Any], texts: Texts) -> Doubles:
    """The values side by side; missing numbers are NaN still."""
    missing = np.zeros((len(numbers), 1))
    if isnan(numbers.sum(dtype=np.float64)):
        missing[:, 0] = np.isnan(numbers).astype(np.float64) @ columns.absent
    parts: list[Any] = [_bent(columns.bend, numbers), missing]
    for column, known, unseen in zip(texts, columns.surprises, columns.unseen, strict=True):
        parts.append(np.array([[known.get(text, unseen)] for text in column], dtype=np.float64))
    return np.concatenate(parts, axis=1, dtype=np.float64)


def _bent(bend: Doubles, numbers: NDArray[Any]) -> NDArray[Any]:
    """Source: Burbidge, Magee, Robb, Alternative transformations to handle extreme values of the dependent
    variable, Journal of the American Statistical Association 83(401), 1988, equation 2.
    """
    return np.where(bend > 0, np.arcsinh(numbers * bend), numbers) if bend.any() else numbers


def _bend(values: Doubles) -> float:
    """The bend under which the values are least skewed."""
    sizes = np.abs(values[values != 0])
    if not len(sizes):
        return 0.0
    candidates = (0.0, *(1 / np.quantile(sizes, quantile) for quantile in _BENDS), _STRONGEST / sizes.min())
    skews = [abs(_skewness(np.arcsinh(values * bend) if bend else values)) for bend in candidates]
    return float(candidates[int(np.argmin(skews))])


def _skewness(values: Doubles) -> float:
    centred = values - values.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean()) / spread**3 if spread > 0 else 0.0


def _means(points: NDArray[Any]) -> Doubles:
    """Of what is there, column by column; 0 where nothing is."""
    present = ~np.isnan(points)
    sums = np.where(present, points, 0.0).sum(axis=0, dtype=np.float64)
    means: Doubles = sums / np.maximum(present.sum(axis=0), 1)
    return means


def _surprises(column: Sequence[str], rows: int) -> tuple[dict[str, float], float]:
    """-ln((count + 1) / (rows + kinds + 1)): one row is added to each kind, and to those never seen."""
    counted = Counter(column)
    total = rows + len(counted) + 1
    kept = counted.most_common(MAX_CATEGORIES)
    return {name: -log((count + 1) / total) for name, count in kept}, -log(1 / total)
