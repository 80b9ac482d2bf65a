"""How well answers fit the truth."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]  # a class by its place in the spec
Probabilities = NDArray[Any]  # shape (rows, classes)

_SMALLEST: Final = 1e-15  # keeps the logarithm finite, as scikit-learn's log_loss does for float64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one contestant says to the held-out rows."""

    contestant: str
    predicted: Codes
    probabilities: Probabilities | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One contestant's result; `log_loss` is None where it has no probabilities."""

    contestant: str
    accuracy: float
    log_loss: float | None
    rows: int


def score(answers: Answers, truth: Codes) -> Score:
    """Accuracy and log loss of one contestant."""
    loss = None if answers.probabilities is None else log_loss(answers.probabilities, truth)
    return Score(
        contestant=answers.contestant,
        accuracy=float(np.mean(answers.predicted == truth)),
        log_loss=loss,
        rows=len(truth),
    )


def log_loss(probabilities: Probabilities, truth: Codes) -> float:
    """Mean negative log likelihood of the true classes, in nats.

    Formula: -mean(ln p[i, truth[i]]), p clipped to 1e-15.
    Source: Bishop, Pattern Recognition and Machine Learning, 2006, equation 4.108, per row.
    """
    chosen = np.asarray(probabilities, dtype=np.float64)[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.clip(chosen, _SMALLEST, 1.0))))


def majority(training: Codes, *, rows: int) -> Answers:
    """Always the class that is most frequent in training."""
    most = int(np.bincount(training).argmax())
    return Answers(contestant="majority", predicted=np.full(rows, most, dtype=np.int64))


def last_label(codes: Codes, *, holdout_start: int, horizon_rows: int) -> Answers:
    """The newest label known when a row is served: that of `horizon_rows` rows before, at least one."""
    lag = max(1, horizon_rows)
    return Answers(contestant="last_label", predicted=codes[holdout_start - lag : len(codes) - lag])
