"""Fitting the agreement with neighbours, beside the density and from the same rows."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.stats import density_score
from slipway.stats.agreement import (
    MAX_NUMBERS,
    MAX_REFERENCES,
    AgreementModel,
    decoded,
    encoded,
    model_of,
    raw_scores,
)
from slipway.stats.columns import Texts, to_points
from slipway.stats.density import Apart
from slipway.stats.density_score import DensityModel

Floats = NDArray[np.float32]
_LEAST_RANGE: Final = 1e-6


def fit(
    density: DensityModel,
    numbers: NDArray[Any],
    *,
    texts: Texts = (),
    codes: NDArray[np.int64],
    classes: int,
    rows: Apart,
    seed: int = 0,
) -> AgreementModel:
    """References from the rows that the density has learned from, calibration from the others.

    All have the version's own answers, not the truth: what is asked is whether it answers a row as it answers
    those around, so that a sample without the truth is enough.

    Args:
        density: Of the same rows.
        numbers: Numeric features, shape (rows, numeric features).
        texts: Categorical features, one sequence of `rows` texts each.
        codes: Places of the version's answers among the classes, shape (rows,).
        classes: How many there are.
        rows: How the density's fit parted them.
        seed: Of the draw.
    """
    points = to_points(density.columns, np.asarray(numbers, dtype=np.float32), texts)
    chosen = _drawn(codes, rows.learned, most=_most(points.shape[1]), classes=classes, seed=seed)
    low = points[rows.learned].min(axis=0)
    reach = points[rows.learned].max(axis=0) - low
    weights = np.where(reach > 0, 1 / np.maximum(reach, _LEAST_RANGE), 0).astype(np.float32)
    model = model_of(
        low=low,
        weights=weights,
        references=decoded(encoded(np.clip((points[chosen] - low) * weights, 0, 1))),
        counts=np.bincount(codes[chosen], minlength=classes),
        calibration=np.empty(0, dtype=np.float32),
    )
    far = density_score.raw_scores(density, points[rows.held_out])
    held_out = rows.held_out[np.argsort(far, kind="stable")]
    return replace(model, calibration=raw_scores(model, points[held_out], codes[held_out]))


def _most(columns: int) -> int:
    return min(MAX_REFERENCES, max(1, MAX_NUMBERS // columns))


def _drawn(
    codes: NDArray[np.int64], rows: NDArray[np.intp], *, most: int, classes: int, seed: int
) -> NDArray[np.intp]:
    """Rows in the order of their classes: a rare class has all of its own before a common one has more."""
    rng = np.random.default_rng(seed)
    by_class = [rng.permutation(rows[codes[rows] == code]) for code in range(classes)]
    quota = _fair([len(own) for own in by_class], most)
    return np.concatenate([own[:count] for own, count in zip(by_class, quota, strict=True)])


def _fair(sizes: list[int], most: int) -> list[int]:
    """As even a share for each as its size allows (max-min fairness), together at most `most`.

    Source: Bertsekas, Gallager, Data networks, 2nd edition, 1992, section 6.5.2.
    """
    quota, left = [0] * len(sizes), most
    order = sorted(range(len(sizes)), key=lambda at: sizes[at])
    for place, at in enumerate(order):
        quota[at] = min(sizes[at], left // (len(sizes) - place))
        left -= quota[at]
    return quota
