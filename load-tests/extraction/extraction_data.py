"""Real data, split once: four sets by which thresholds and rules were chosen, two for the report."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from river import datasets
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]

ELEC2: Final = Path(__file__).resolve().parents[2] / "examples" / "elec2" / "data" / "elec2.parquet"
ELEC2_TRAINED: Final = 4032
_SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """One data set and the model that is asked.

    Attributes:
        own: Rows of the same kind that thieves have.
        test: Further ones, which honest callers ask and clones are judged by.
    """

    name: str
    model: Pipeline
    train: Rows
    own: Rows
    own_labels: Labels
    test: Rows

    @property
    def low(self) -> Rows:
        """Smallest value of each feature in training."""
        return np.asarray(self.train.min(axis=0))

    @property
    def span(self) -> Rows:
        """How far each feature goes in training."""
        return np.asarray(np.maximum(self.train.max(axis=0) - self.low, 1e-6))

    def probabilities(self, rows: Rows) -> Rows:
        """What the model answers; it is served single floats."""
        return np.asarray(self.model.predict_proba(rows.astype(np.float32)), dtype=np.float64)

    def predict(self, rows: Rows) -> Labels:
        """The class of each row, by its place."""
        return np.asarray(self.probabilities(rows).argmax(axis=1))


def breast_cancer() -> Data:
    """Measurements of cell nuclei."""
    bundle = load_breast_cancer()
    return _shuffled("breast_cancer", bundle.data, bundle.target)


def elec2() -> Data:
    """Electricity prices of New South Wales: trained on the first twelve weeks, as the example's model is."""
    rows, labels = elec2_rows()
    return _data("elec2", rows[:10_000], labels[:10_000], trained=ELEC2_TRAINED, own=500)


def elec2_rows() -> tuple[Rows, Labels]:
    """Features and labels of Elec2, in the order of time."""
    frame = pd.read_parquet(ELEC2)
    rows = frame.drop(columns=["price_up"]).select_dtypes("number").to_numpy(dtype=np.float64)
    return np.asarray(rows), np.asarray(frame["price_up"].astype(int), dtype=np.int64)


def digits() -> Data:
    """Handwritten digits, 8 x 8, ten classes."""
    bundle = load_digits()
    return _shuffled("digits", bundle.data, bundle.target)


def phishing() -> Data:
    """Properties of web sites, three values each."""
    return _shuffled("phishing", *_of_river("Phishing"))


def segments() -> Data:
    """Patches of outdoor photographs, 18 features, seven classes."""
    return _shuffled("segments", *_of_river("ImageSegments"))


def bananas() -> Data:
    """Two numbers, two classes that no line divides."""
    return _shuffled("bananas", *_of_river("Bananas"))


DEVELOPMENT: Final[dict[str, Callable[[], Data]]] = {
    "breast_cancer": breast_cancer,
    "elec2": elec2,
    "phishing": phishing,
    "bananas": bananas,
}
REPORTED: Final[dict[str, Callable[[], Data]]] = {
    "digits": digits,
    "segments": segments,
}


def _of_river(name: str) -> tuple[Rows, Labels]:
    pairs: list[Any] = list(getattr(datasets, name)())
    names = sorted({str(label) for _, label in pairs})
    rows = np.array([list(row.values()) for row, _ in pairs], dtype=np.float64)
    return rows, np.array([names.index(str(label)) for _, label in pairs], dtype=np.int64)


def _shuffled(name: str, rows: Rows, labels: Labels) -> Data:
    order = np.random.default_rng(_SEED).permutation(len(rows))
    trained, own = int(0.5 * len(rows)), int(0.2 * len(rows))
    return _data(name, rows[order], labels[order], trained=trained, own=own)


def _data(name: str, rows: Rows, labels: Labels, *, trained: int, own: int) -> Data:
    model = make_pipeline(MinMaxScaler(), MLPClassifier((64,), alpha=1e-3, max_iter=200, random_state=_SEED))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # good enough to be copied
        model.fit(rows[:trained].astype(np.float32), labels[:trained])
    return Data(
        name=name,
        model=model,
        train=rows[:trained],
        own=rows[trained : trained + own],
        own_labels=labels[trained : trained + own],
        test=rows[trained + own :],
    )
