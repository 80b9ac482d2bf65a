"""The distribution of training data, and how a live row is coded against it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

OUTSIDE: Final = 254
MISSING: Final = 255
MAX_BINS: Final = 20

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureProfile:
    """Bins of one feature and how the training data filled them.

    Numeric features have `edges` (inner edges, ascending; bins = len(edges) + 1), categorical ones
    `categories`; `counts` has one entry per bin or category.
    """

    feature: str
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    missing: int = 0


def numeric_profile(feature: str, values: NDArray[Any], *, bins: int = 10) -> FeatureProfile:
    """Profile a numeric column by the quantiles of its finite values.

    Args:
        feature: The column's name.
        values: Numbers, shape (rows,); NaN counts as missing.
        bins: Bins at the most; fewer where quantiles coincide.
    """
    numbers = np.asarray(values, dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    shares = np.linspace(0, 1, min(bins, MAX_BINS) + 1)[1:-1]
    edges = np.unique(np.quantile(finite, shares)) if finite.size else np.empty(0)
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    return FeatureProfile(
        feature=feature,
        edges=tuple(float(e) for e in edges),
        counts=tuple(int(c) for c in counts),
        missing=int(numbers.size - finite.size),
    )


def categorical_profile(feature: str, values: NDArray[Any]) -> FeatureProfile:
    """Profile a categorical column: its categories by falling count; None and "" count as missing."""
    texts = [None if v is None or v != v else str(v) for v in values]
    present = np.array([t for t in texts if t], dtype=str)
    names, counts = np.unique(present, return_counts=True)
    order = np.argsort(-counts, kind="stable")[: OUTSIDE - 1]
    return FeatureProfile(
        feature=feature,
        categories=tuple(str(n) for n in names[order]),
        counts=tuple(int(c) for c in counts[order]),
        missing=len(texts) - len(present),
    )


def encode_numeric(profile: FeatureProfile, values: NDArray[Any]) -> Codes:
    """The bin of each value, MISSING for NaN; shape (rows,)."""
    numbers = np.asarray(values, dtype=np.float64)
    codes = np.searchsorted(np.asarray(profile.edges), numbers, side="right").astype(np.uint8)
    codes[np.isnan(numbers)] = MISSING
    return codes


def encode_categorical(profile: FeatureProfile, values: list[str]) -> Codes:
    """The index of each category, OUTSIDE for an unknown one, MISSING for the empty text."""
    index = {name: i for i, name in enumerate(profile.categories)}
    return np.array([index.get(v, OUTSIDE) if v else MISSING for v in values], dtype=np.uint8)


def count_codes(codes: Codes, *, bins: int) -> tuple[NDArray[np.int64], int, int]:
    """How often each bin occurs, and how many codes are outside and missing."""
    counts = np.bincount(codes, minlength=256)
    return counts[:bins].astype(np.int64), int(counts[OUTSIDE]), int(counts[MISSING])
