"""Labelled rows in the order a model learns them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LIVE: Final = 2**31 - 1  # the era of rows that were served; datasets count from 1 and stand before them


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleKey:
    """Which row, with which label."""

    prediction_id: str
    row: int
    label: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExampleSet:
    """Rows in time order: (era, served_at, prediction_id, row)."""

    keys: Sequence[ExampleKey]
    sources: Sequence[str]
    eras: NDArray[np.int64]
    served_at_s: NDArray[np.float64]
    codes: NDArray[np.int64]  # labels as places in the spec's classes
    numbers: NDArray[np.float32]  # shape (rows, numeric features)
    texts: NDArray[Any]  # shape (rows, categorical features)

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a stretch of rows consists of, so that it can be proved later."""

    rows: int
    first: str
    last: str
    datasets: dict[str, int]  # rows by dataset id
    live_rows: int
    sha256: str


def first_row_since(examples: ExampleSet, since_s: float | None) -> int | None:
    """The first served row at or after a time; None when there is none. Datasets have no such time."""
    if since_s is None:
        return None
    later = np.flatnonzero((examples.eras == LIVE) & (examples.served_at_s >= since_s))
    return int(later[0]) if len(later) else None


def lineage_of(examples: ExampleSet, start: int, *, end: int) -> Lineage:
    """Describe rows [start, end), not empty.

    Formula: SHA-256 over one line `prediction_id row label revision` per row, in order, joined by
    tabs and ended by a line feed.
    """
    digest = hashlib.sha256()
    for key in examples.keys[start:end]:
        digest.update(f"{key.prediction_id}\t{key.row}\t{key.label}\t{key.revision}\n".encode())
    datasets: dict[str, int] = {}
    for source in examples.sources[start:end]:
        if source.startswith("dataset:"):
            datasets[source] = datasets.get(source, 0) + 1
    return Lineage(
        rows=end - start,
        first=_name(examples.keys[start]),
        last=_name(examples.keys[end - 1]),
        datasets=datasets,
        live_rows=end - start - sum(datasets.values()),
        sha256=digest.hexdigest(),
    )


def _name(key: ExampleKey) -> str:
    return f"{key.prediction_id}/{key.row}"
