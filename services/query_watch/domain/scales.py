"""A version's features on one scale, from the distribution of its training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.stats.profile import FeatureProfile

Floats = NDArray[np.float32]

_DRAWN: Final = 128
_FEWEST_STEPS: Final = 4  # different deciles of a feature that takes more than a few values
_FEWEST_FINE: Final = 3
_SEED: Final = 20190617
_INNER_SPREADS: Final = 2.563  # standard deviations between the first and the last decile of a normal law
_FARTHEST: Final = 1e4  # spreads: beyond it only the fact counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """How rows become points whose distances mean something.

    Attributes:
        middle: Of each number in training.
        spread: How far it spreads there.
        codes: For each categorical feature the number of each category.
        radius: Typical distance between the nearest of a hundred rows whose features have nothing to do with
            each other: real rows lie closer. 0 where fewer than three features take more than a few
            values: then unrelated rows lie as close, and distances tell nothing.
    """

    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    codes: tuple[Mapping[str, int], ...]
    radius: float


def scales_of(numeric: Sequence[FeatureProfile], categorical: Sequence[FeatureProfile] = ()) -> Scales:
    """The scales that a version's reference profile gives, its features in the order of the spec."""
    scales = [_numeric(each) for each in numeric]
    rng = np.random.default_rng(_SEED)
    drawn = [_drawn(each, *scale, rng=rng) for each, scale in zip(numeric, scales, strict=True)]
    drawn += [_bins(each, rng).astype(np.float64) for each in categorical]
    return Scales(
        middle=np.array([middle for middle, _ in scales]),
        spread=np.array([spread for _, spread in scales]),
        codes=tuple({name: at for at, name in enumerate(each.categories)} for each in categorical),
        radius=0.0 if _is_coarse(numeric) else _typical_nearest(np.array(drawn).T),
    )


def to_points(scales: Scales, numbers: NDArray[Any], texts: Sequence[Sequence[str]] = ()) -> Floats:
    """Rows as points, shape (rows, features); a missing number lies in the middle.

    Args:
        scales: Of the version that answered.
        numbers: Shape (rows, numeric features).
        texts: Categorical features, one sequence each.
    """
    points = (np.asarray(numbers, dtype=np.float64) - scales.middle) / scales.spread
    coded = [
        [codes.get(value, len(codes)) for value in column]
        for codes, column in zip(scales.codes, texts, strict=True)
    ]
    if coded:
        points = np.hstack([points, np.array(coded, dtype=np.float64).T])
    return np.clip(np.nan_to_num(points), -_FARTHEST, _FARTHEST).astype(np.float32)


def radius_beside(radius: float, *, features: int, rows: int) -> float:
    """The typical distance to the nearest of fewer rows than the radius stands for.

    Formula: the nearest of n independent points in d dimensions is n^(-1/d) away, up to a constant.
    Source: Clark, Evans, Distance to nearest neighbor in populations, Ecology 35(4), 1954 (in a plane).
    """
    return float(radius * (_DRAWN / min(_DRAWN, max(1, rows))) ** (1 / max(1, features)))


def _is_coarse(numeric: Sequence[FeatureProfile]) -> bool:
    return sum(len(each.edges) >= _FEWEST_STEPS for each in numeric) < _FEWEST_FINE


def _numeric(profile: FeatureProfile) -> tuple[float, float]:
    """Middle and spread of a number."""
    edges = np.asarray(profile.edges, dtype=np.float64)
    if not edges.size:
        return 0.0, 1.0
    spread = float(edges[-1] - edges[0]) / _INNER_SPREADS
    middle = float(np.median(edges))
    return middle, spread if spread > 0 else max(abs(middle), 1.0)


def _drawn(
    profile: FeatureProfile, middle: float, spread: float, *, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Values of one number as in training, without regard to the other features."""
    edges = np.asarray(profile.edges, dtype=np.float64)
    if not edges.size:
        return np.zeros(_DRAWN)
    bins = _bins(profile, rng)
    # The outer bins have no outer edge: they are taken to be as wide as a spread.
    low = np.concatenate([[edges[0] - spread], edges])[bins]
    high = np.concatenate([edges, [edges[-1] + spread]])[bins]
    return np.asarray((low + rng.random(_DRAWN) * (high - low) - middle) / spread)


def _bins(profile: FeatureProfile, rng: np.random.Generator) -> NDArray[np.int64]:
    counts = np.asarray(profile.counts, dtype=np.float64)
    if not counts.sum():
        return np.zeros(_DRAWN, dtype=np.int64)
    return rng.choice(len(counts), size=_DRAWN, p=counts / counts.sum())


def _typical_nearest(points: NDArray[np.float64]) -> float:
    squares = np.einsum("ij,ij->i", points, points)
    apart = squares[:, None] + squares[None, :] - 2 * points @ points.T
    np.fill_diagonal(apart, np.inf)
    return float(np.sqrt(np.median(np.maximum(apart.min(axis=1), 0.0))))
