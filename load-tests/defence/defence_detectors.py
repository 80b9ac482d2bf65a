"""Detectors as functions of rows, the product's and others beside it; above 1 is suspicious."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from defence_data import Data, Rows
from defence_models import Served
from scipy.ndimage import median_filter
from sklearn.metrics import roc_auc_score

from slipway.stats import agreement, agreement_fit, density
from slipway.stats.columns import to_points
from slipway.stats.density_score import score as density_score

Detector = Callable[[Rows], Any]

RATE: Final = 0.01
PRODUCT: Final = "input score"
_LEVELS: Final = 3  # two bits
_RESAMPLES: Final = 100


def of(data: Data, served: Served) -> dict[str, Detector]:
    """All detectors by name; thresholds are from rows that nothing was fitted to and nothing is judged by."""
    answers = served.predict(data.train)
    alone = density.fit(data.train, false_positive_rate=RATE)
    beside = agreement_fit.fit(
        *(alone, data.train),
        codes=answers,
        classes=data.classes,
        rows=density.apart(len(data.train), false_positive_rate=RATE),
    )
    both = agreement.together(alone, beside, RATE)

    def by_distance(rows: Rows) -> Any:
        return density_score(alone, rows)

    def by_answer(rows: Rows) -> Any:
        points = to_points(both[0].columns, np.asarray(rows, dtype=np.float32), ())
        return agreement.score(both[1], points, served.predict(rows))

    def product(rows: Rows) -> Any:
        return np.maximum(density_score(both[0], rows), by_answer(rows))

    found: dict[str, Detector] = {PRODUCT: product, "density": by_distance, "agreement": by_answer}
    found["narrow margin"] = _at_rate(lambda rows: 1 - _margin(served, rows), data)
    if data.image_shape:
        squeezed = _at_rate(lambda rows: _squeezed(served, rows, data.image_shape), data)
        found["squeezing"] = squeezed
        found["input score or squeezing"] = _larger(product, squeezed)
    return found


def _at_rate(score: Detector, data: Data) -> Detector:
    threshold = float(np.quantile(score(data.calibration), 1 - RATE))
    return lambda rows: score(rows) / max(threshold, 1e-12)


def _larger(one: Detector, two: Detector) -> Detector:
    return lambda rows: np.maximum(one(rows), two(rows))


def _margin(served: Served, rows: Rows) -> Any:
    shares = np.sort(served.probabilities(rows), axis=1)
    return shares[:, -1] - shares[:, -2]


def _squeezed(served: Served, rows: Rows, shape: tuple[int, ...]) -> Any:
    """How far the answer moves when pixels keep two bits, or are the median of four; whichever is more.

    Source: Xu, Evans, Qi, Feature squeezing, NDSS 2018, equation 4 and section 5.2.
    """
    coarse = served.from_unit(np.round(served.to_unit(rows) * _LEVELS) / _LEVELS)
    smooth = median_filter(rows.reshape(-1, *shape), size=(1, 2, 2), mode="reflect").reshape(rows.shape)
    usual = served.probabilities(rows)
    moved = [np.abs(usual - served.probabilities(other)).sum(axis=1) for other in (coarse, smooth)]
    return np.maximum(*moved)


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
