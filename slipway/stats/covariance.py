"""Covariance from few rows, and the coordinates in which it is the identity."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_VARIANCE: Final = 1e-9  # of a direction, where the columns have variance 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Whitening:
    """The directions of a covariance, the widest first; what lies outside of them shares one variance.

    Attributes:
        directions: Orthonormal, shape (columns, kept).
        variances: Along them, shape (kept,).
        rest_variance: Along each of the directions that are left out; 0 where none is.
    """

    directions: Floats
    variances: Floats
    rest_variance: float


def ledoit_wolf_shrinkage(rows: NDArray[Any]) -> float:
    """How far the sample covariance is best drawn towards a multiple of the identity, 0 to 1.

    Args:
        rows: Centred, shape (rows, columns).
    Formula: delta = min(b2, d2) / d2, where d2 = |S - mu I|^2 / p and
        b2 = (1 / n^2) sum_k |x_k x_k' - S|^2 / p, here by sums over squares of the columns.
    Source: Ledoit, Wolf, A well-conditioned estimator for large-dimensional covariance matrices, Journal of
        Multivariate Analysis 88(2), 2004, lemma 3.2 to 3.4.
    """
    count, columns = rows.shape
    squares = rows**2
    sample = rows.T @ rows / count
    mu = np.trace(sample) / columns
    distance = float((sample**2).sum()) / columns - mu**2
    spread = (float((squares.T @ squares).sum()) / count - float((sample**2).sum())) / (count * columns)
    return 0.0 if distance <= 0 else max(0.0, min(spread / distance, 1.0))


def shrunk_covariance(rows: NDArray[Any], shrinkage: float) -> Floats:
    """(1 - shrinkage) S + shrinkage * mean variance * I, for centred rows."""
    sample = rows.T @ rows / len(rows)
    blended: Floats = (1 - shrinkage) * sample
    blended[np.diag_indices_from(blended)] += shrinkage * np.trace(sample) / len(sample)
    return blended


def whiten(covariance: Floats, kept: int) -> Whitening:
    """The `kept` widest directions; the variance of all others is their mean.

    Source: Tipping, Bishop, Probabilistic principal component analysis, Journal of the Royal Statistical
        Society B 61(3), 1999, equation 8.
    """
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances[::-1], _LEAST_VARIANCE)
    rest = variances[kept:]
    return Whitening(
        directions=directions[:, ::-1][:, :kept],
        variances=variances[:kept],
        rest_variance=float(rest.mean()) if len(rest) else 0.0,
    )


def log_likelihood(rows: NDArray[Any], covariance: Floats) -> float:
    """Mean log density of centred rows under a normal law, but for a constant."""
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances, _LEAST_VARIANCE)
    along = rows @ directions
    return float(-0.5 * (np.log(variances).sum() + (along**2 / variances).sum(axis=1).mean()))
