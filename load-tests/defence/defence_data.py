"""Real data: digits, breast cancer, phishing; rows of other data in the same form; Elec2 over the years."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from river import datasets
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images
from sklearn.model_selection import train_test_split

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]

ELEC2: Final = Path(__file__).resolve().parents[2] / "examples" / "elec2" / "data" / "elec2.parquet"
_PATCH: Final = 8  # pixels a side, as digits have
_SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """One data set, split once and for all.

    Attributes:
        calibration: Rows of the same kind that no model was fitted to.
        test: Further ones, to attack and to measure by.
        other: Rows of another data set, stretched to the same ranges so that no range check sees them.
        image_shape: Of one row; empty for a table.
    """

    name: str
    train: Rows
    train_labels: Labels
    calibration: Rows
    calibration_labels: Labels
    test: Rows
    test_labels: Labels
    other: Rows
    image_shape: tuple[int, ...] = ()

    @property
    def low(self) -> Rows:
        """Smallest value of each feature in training."""
        return np.asarray(self.train.min(axis=0))

    @property
    def high(self) -> Rows:
        """Largest value of each feature in training, and a little more where there is but one."""
        return np.asarray(np.maximum(self.train.max(axis=0), self.low + 1e-6))

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.train_labels.max()) + 1


def digits() -> Data:
    """Handwritten digits, 8 x 8; the others are patches of photographs."""
    bundle = load_digits()
    return _split("digits", bundle.data, bundle.target, other=_patches(), image_shape=(_PATCH, _PATCH))


def breast_cancer() -> Data:
    """Measurements of cell nuclei; the others are pixels of digits."""
    bundle = load_breast_cancer()
    pixels = np.argsort(-load_digits().data.var(axis=0))[: bundle.data.shape[1]]
    return _split("breast_cancer", bundle.data, bundle.target, other=load_digits().data[:, pixels])


def phishing() -> Data:
    """Properties of web sites, three values each; the others are cell nuclei."""
    pairs = list(datasets.Phishing())
    rows = np.array([list(x.values()) for x, _ in pairs], dtype=np.float64)
    labels = np.array([int(y) for _, y in pairs], dtype=np.int64)
    return _split("phishing", rows, labels, other=load_breast_cancer().data[:, : rows.shape[1]])


ALL: Final[dict[str, Callable[[], Data]]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "phishing": phishing,
}


def elec2() -> tuple[Rows, Labels]:
    """Features and labels of Elec2, in the order of time."""
    frame = pd.read_parquet(ELEC2)
    target = "price_up"
    rows = frame.drop(columns=[target]).select_dtypes("number").to_numpy(dtype=np.float64)
    return np.asarray(rows), np.asarray(frame[target].astype(int), dtype=np.int64)


def _split(name: str, rows: Any, labels: Any, *, other: Rows, image_shape: tuple[int, ...] = ()) -> Data:
    rest, test, rest_labels, test_labels = train_test_split(
        np.asarray(rows, dtype=np.float64),
        np.asarray(labels, dtype=np.int64),
        test_size=0.3,
        random_state=_SEED,
        stratify=labels,
    )
    train, calibration, train_labels, calibration_labels = train_test_split(
        rest, rest_labels, test_size=0.3, random_state=_SEED, stratify=rest_labels
    )
    return Data(
        name=name,
        train=train,
        train_labels=train_labels,
        calibration=calibration,
        calibration_labels=calibration_labels,
        test=test,
        test_labels=test_labels,
        other=_stretched(other, train),
        image_shape=image_shape,
    )


def _stretched(other: Rows, to: Rows) -> Rows:
    low, high = other.min(axis=0), other.max(axis=0)
    unit = (other - low) / np.maximum(high - low, 1e-9)
    return np.asarray(to.min(axis=0) + unit * (to.max(axis=0) - to.min(axis=0)))


def _patches() -> Rows:
    """Eight by eight pixels of scikit-learn's two photographs, grey, each with its own contrast."""
    rng = np.random.default_rng(_SEED)
    patches = []
    for image in load_sample_images().images:
        grey = np.asarray(image, dtype=np.float64).mean(axis=2)
        # Coarse first: neighbouring pixels of a photograph are almost alike.
        coarse = grey[: grey.shape[0] // 6 * 6, : grey.shape[1] // 6 * 6]
        coarse = coarse.reshape(coarse.shape[0] // 6, 6, -1, 6).mean(axis=(1, 3))
        for _ in range(300):
            top = rng.integers(coarse.shape[0] - _PATCH)
            left = rng.integers(coarse.shape[1] - _PATCH)
            patch = coarse[top : top + _PATCH, left : left + _PATCH]
            patches.append((patch / max(patch.max(), 1e-9)).ravel())
    return np.array(patches)
