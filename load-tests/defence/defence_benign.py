"""What honest use meets: false positives when the world drifts, and whether prediction sets cover."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from defence_data import Data, elec2
from defence_models import Served

from slipway.stats import conformal, density
from slipway.stats.confidence import calibrate_classes
from slipway.stats.density_score import score as density_score
from slipway.stats.temperature import apply_temperature

COVERAGE: Final = 0.9
_TRAINED: Final = 4032  # twelve weeks
SPLITS: Final = 60


def drifted() -> list[tuple[str, float]]:
    """Share of Elec2's rows that are called suspicious, by where they stand in the stream."""
    rows, _ = elec2()
    model = density.fit(rows[:_TRAINED], false_positive_rate=0.01)
    found = []
    for name, part in _parts(rows):
        found.append((name, float((density_score(model, part) > 1).mean())))
    return found


def _parts(rows: Any) -> list[tuple[str, Any]]:
    year = 48 * 365
    return [
        ("four weeks after training", rows[_TRAINED : _TRAINED + 1344]),
        ("the rest of the first year", rows[_TRAINED + 1344 : year]),
        ("the second year", rows[year : 2 * year]),
        ("the last seven months", rows[2 * year :]),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """How often sets hold the truth.

    Attributes:
        coverage: Share of held-out rows, mean over the splits.
        spread: Standard deviation between splits: what one version may be off by.
        expected: That of any exact method with so many rows, by theory.
        size: Mean classes in a set.
    """

    method: str
    coverage: float
    spread: float
    expected: float
    size: float


def coverage(data: Data, served: Served) -> Iterator[Covered]:
    """Over many splits of rows that the model has not learned from; one half calibrates, the other counts."""
    rows = np.vstack([data.calibration, data.test])
    truth = np.concatenate([data.calibration_labels, data.test_labels])
    probabilities = served.probabilities(rows)
    for method in ("lac", "aps"):
        # With draws repeated in each split, APS would be off by the same amount in all.
        rng, found = np.random.default_rng(7), []
        for _ in range(SPLITS):
            found.append(_split(probabilities, truth, method=method, rng=rng))
        covered, sizes = np.array(found).T
        half = len(rows) // 2
        yield Covered(
            method=method,
            coverage=float(covered.mean()),
            spread=float(covered.std(ddof=1)),
            expected=_expected_spread(half, len(rows) - half),
            size=float(sizes.mean()),
        )


def _split(probabilities: Any, truth: Any, *, method: str, rng: np.random.Generator) -> tuple[float, float]:
    order, half = rng.permutation(len(truth)), len(truth) // 2
    past, future = order[:half], order[half:]
    calibration = calibrate_classes(probabilities[past], truth[past], seed=int(rng.integers(2**31)))
    softened = apply_temperature(probabilities[future], calibration.temperature)
    if method == "aps":
        scores, known = conformal.aps_scores(softened, rng.random(len(future))), calibration.aps
    else:
        scores, known = conformal.lac_scores(softened), calibration.lac
    members = scores <= conformal.limit(known, COVERAGE)
    return float(members[np.arange(len(future)), truth[future]].mean()), float(members.sum(axis=1).mean())


def _expected_spread(past: int, future: int) -> float:
    """Coverage given the calibration is Beta distributed, and counted on finitely many rows.

    Three quarters of the rows calibrate the sets, as one quarter sets the temperature.
    Source: Angelopoulos, Bates, A gentle introduction to conformal prediction, 2023, appendix C.
    """
    used = past * 3 // 4
    of_threshold = COVERAGE * (1 - COVERAGE) / (used + 2)
    return float(np.sqrt(of_threshold + COVERAGE * (1 - COVERAGE) / future))
