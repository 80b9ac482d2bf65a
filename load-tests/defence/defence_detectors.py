"""Detectors as functions of rows, the product's and others beside it; above 1 is suspicious."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from defence_data import Data, Rows
from defence_models import Served
from sklearn.metrics import roc_auc_score

from slipway.stats import density
from slipway.stats.density_score import score as density_score

Detector = Callable[[Rows], Any]

RATE: Final = 0.01
PRODUCT: Final = "density"
_NEAREST: Final = 3
_LEVELS: Final = 3  # two bits
_RESAMPLES: Final = 100


def of(data: Data, served: Served) -> dict[str, Detector]:
    """All detectors by name; all but the product's get thresholds from rows that nothing was fitted to."""
    model = density.fit(data.train, false_positive_rate=RATE)

    def product(rows: Rows) -> Any:
        return density_score(model, rows)

    found: dict[str, Detector] = {PRODUCT: product}
    found["narrow margin"] = _at_rate(lambda rows: 1 - _margin(served, rows), data)
    if data.image_shape:
        found["squeezing"] = _at_rate(lambda rows: _squeezed(served, rows), data)
    found["neighbours' answer"] = _at_rate(_trust(data, served), data)
    found["density or neighbours' answer"] = _larger(product, found["neighbours' answer"])
    return found


def _at_rate(score: Detector, data: Data) -> Detector:
    threshold = float(np.quantile(score(data.calibration), 1 - RATE))
    return lambda rows: score(rows) / max(threshold, 1e-12)


def _larger(one: Detector, two: Detector) -> Detector:
    return lambda rows: np.maximum(one(rows), two(rows))


def _margin(served: Served, rows: Rows) -> Any:
    shares = np.sort(served.probabilities(rows), axis=1)
    return shares[:, -1] - shares[:, -2]


def _trust(data: Data, served: Served) -> Detector:
    """Distance to the nearest rows of the answered class over that to the nearest of any other class.

    Source: Jiang, Kim, Guan, Gupta, To trust or not to trust a classifier, NeurIPS 2018 (its inverse).
    """
    unit = served.to_unit(data.train)

    def score(rows: Rows) -> Any:
        answers, found = served.predict(rows), []
        for row, answer in zip(served.to_unit(rows), answers, strict=True):
            distances = np.linalg.norm(unit - row, axis=1)
            is_own = data.train_labels == answer
            own = np.sort(distances[is_own])[:_NEAREST].mean()
            found.append(own / (np.sort(distances[~is_own])[:_NEAREST].mean() + 1e-9))
        return np.array(found)

    return score


def _squeezed(served: Served, rows: Rows) -> Any:
    """How far the answer moves when pixels keep two bits: Xu, Evans, Qi, Feature squeezing, NDSS 2018."""
    coarse = served.from_unit(np.round(served.to_unit(rows) * _LEVELS) / _LEVELS)
    return np.abs(served.probabilities(rows) - served.probabilities(coarse)).sum(axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How well attacked rows are told from others."""

    auroc: float
    low: float
    high: float
    detected: float  # at the threshold
    false_positives: float  # at the threshold, among held-out rows

    def __str__(self) -> str:
        return f"{self.auroc:.3f} [{self.low:.3f}, {self.high:.3f}], {self.detected:.0%}"


def judge(detector: Detector, clean: Rows, attacked: Rows) -> Seen:
    """AUROC with a bootstrap interval of 95 %, and what the threshold finds."""
    quiet, loud = np.asarray(detector(clean)), np.asarray(detector(attacked))
    rng = np.random.default_rng(7)
    spread = [_auroc(rng.choice(quiet, len(quiet)), rng.choice(loud, len(loud))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(spread, [0.025, 0.975])
    return Seen(
        auroc=_auroc(quiet, loud),
        low=float(low),
        high=float(high),
        detected=float((loud > 1).mean()),
        false_positives=float((quiet > 1).mean()),
    )


def _auroc(quiet: Any, loud: Any) -> float:
    truth = np.r_[np.zeros(len(quiet)), np.ones(len(loud))]
    return float(roc_auc_score(truth, np.r_[quiet, loud]))
