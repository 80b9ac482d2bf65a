"""Rows to codes against a version's reference profile, so that drift is seen without the payload."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.gateway.domain.checks import CheckedInput
from services.gateway.domain.contract import Contract
from slipway.stats.profile import MISSING, OUTSIDE, FeatureProfile, encode_categorical

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """One version's profile, laid out so that all numeric features are coded at once."""

    numeric: tuple[str, ...]
    columns: NDArray[np.intp]  # where they stand in the request's matrix
    has_all_columns: bool  # they are the whole matrix, in its order
    edges: NDArray[np.float32]  # shape (features, most edges), +inf where a feature has fewer
    categorical: tuple[FeatureProfile, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """In the order of the codes."""
        return (*self.numeric, *(profile.feature for profile in self.categorical))


def coder_of(contract: Contract, profiles: Sequence[FeatureProfile]) -> Coder:
    """The coder of a version; features without a profile are left out."""
    by_name = {profile.feature: profile for profile in profiles}
    numeric = [(i, by_name[name]) for i, name in enumerate(contract.numeric) if name in by_name]
    most = max((len(profile.edges) for _, profile in numeric), default=0)
    edges = np.full((len(numeric), most), np.inf, dtype=np.float32)
    for row, (_, profile) in enumerate(numeric):
        edges[row, : len(profile.edges)] = _rounded_up(profile.edges)
    return Coder(
        numeric=tuple(profile.feature for _, profile in numeric),
        columns=np.array([i for i, _ in numeric], dtype=np.intp),
        has_all_columns=[i for i, _ in numeric] == list(range(len(contract.numeric))),
        edges=edges,
        categorical=tuple(by_name[f.name] for f in contract.categorical if f.name in by_name),
    )


def encode(coder: Coder, checked: CheckedInput) -> Codes:
    """One byte for each feature of the profile and row, shape (features, rows).

    Numeric codes are those of `slipway.stats.profile.encode_numeric`, the number of inner edges at or
    below the value; values outside the declared range are OUTSIDE.
    """
    numeric = _numeric_codes(coder, checked)
    if not coder.categorical:
        return numeric
    texts = [encode_categorical(profile, checked.texts[profile.feature]) for profile in coder.categorical]
    return np.vstack([numeric, *texts])


def _numeric_codes(coder: Coder, checked: CheckedInput) -> Codes:
    numbers = checked.numbers if coder.has_all_columns else checked.numbers[:, coder.columns]
    codes: Codes = (coder.edges <= numbers[:, :, None]).sum(axis=2, dtype=np.uint8)
    if checked.has_missing:
        codes[np.isnan(numbers)] = MISSING
    if checked.outside is not None:
        codes[checked.outside[:, coder.columns]] = OUTSIDE
    return codes.T


def _rounded_up(edges: Sequence[float]) -> NDArray[np.float32]:
    """The least single-precision numbers not below the edges: FP32 compares with both alike."""
    exact = np.array(edges, dtype=np.float64)
    single = exact.astype(np.float32)
    return np.where(single < exact, np.nextafter(single, np.float32(np.inf)), single)
