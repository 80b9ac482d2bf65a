"""Rows to codes against a version's reference profile, so that drift is seen without the payload."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.checks import CheckedInput
from services.gateway.domain.contract import Contract
from slipway.stats.profile import MISSING, OUTSIDE, FeatureProfile, encode_categorical


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """One version's profile, laid out so that all numeric features are coded at once."""

    numeric: tuple[str, ...]
    columns: NDArray[np.intp]  # where they stand in the request's matrix
    edges: NDArray[np.float64]  # shape (features, most edges), +inf where a feature has fewer
    categorical: tuple[FeatureProfile, ...]


def coder_of(contract: Contract, profiles: Sequence[FeatureProfile]) -> Coder:
    """The coder of a version; features without a profile are left out."""
    by_name = {profile.feature: profile for profile in profiles}
    numeric = [(i, by_name[name]) for i, name in enumerate(contract.numeric) if name in by_name]
    most = max((len(profile.edges) for _, profile in numeric), default=0)
    edges = np.full((len(numeric), most), np.inf)
    for row, (_, profile) in enumerate(numeric):
        edges[row, : len(profile.edges)] = profile.edges
    return Coder(
        numeric=tuple(profile.feature for _, profile in numeric),
        columns=np.array([i for i, _ in numeric], dtype=np.intp),
        edges=edges,
        categorical=tuple(by_name[f.name] for f in contract.categorical if f.name in by_name),
    )


def encode(coder: Coder, checked: CheckedInput) -> list[tuple[str, bytes]]:
    """One byte a row for each feature of the profile.

    Numeric codes are those of `slipway.stats.profile.encode_numeric`, the number of inner edges at or
    below the value; values outside the declared range are OUTSIDE.
    """
    codes = [
        (profile.feature, encode_categorical(profile, checked.texts[profile.feature]).tobytes())
        for profile in coder.categorical
    ]
    if coder.numeric:
        codes += zip(coder.numeric, _numeric_codes(coder, checked), strict=True)
    return codes


def _numeric_codes(coder: Coder, checked: CheckedInput) -> list[bytes]:
    numbers = checked.numbers[:, coder.columns].astype(np.float64)
    codes = (coder.edges[None, :, :] <= numbers[:, :, None]).sum(axis=2, dtype=np.uint8)
    codes[np.isnan(numbers)] = MISSING
    if checked.outside is not None:
        codes[checked.outside[:, coder.columns]] = OUTSIDE
    by_feature = np.ascontiguousarray(codes.T)
    return [column.tobytes() for column in by_feature]
