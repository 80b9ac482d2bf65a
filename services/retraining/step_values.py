"""What goes into the steps of a training and comes out: light, since the service loads no scikit-learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.stats.profile import FeatureProfile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingData:
    """All rows of a training in time order; see `ExampleSet`."""

    numbers: NDArray[np.float32]
    texts: NDArray[Any]
    codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to fit, for whom."""

    source: str
    spec_yaml: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepAnswers:
    """A contestant's answers to the held-out rows."""

    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How closely the ONNX model repeats the estimator."""

    rows: int
    label_mismatches: int
    largest_difference: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedModel:
    """The winner, ready to be registered."""

    onnx: bytes
    parity: Parity
    profiles: tuple[FeatureProfile, ...]
    predicted_counts: tuple[int, ...]
    input_profile: bytes = b""
