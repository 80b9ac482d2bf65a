"""What honest use meets: false positives when the world drifts, and whether prediction sets cover."""

from typing import Any, Final

import numpy as np
from defence_data import Data, elec2
from defence_models import Served

from slipway.stats import conformal, density
from slipway.stats.density_score import score as density_score

COVERAGE: Final = 0.9
_TRAINED: Final = 4032  # twelve weeks
_SPLITS: Final = 100


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


def coverage(data: Data, served: Served) -> tuple[float, float]:
    """Share of held-out rows whose set holds the truth, and the mean size of a set, over many splits."""
    rows = np.vstack([data.calibration, data.test])
    truth = np.concatenate([data.calibration_labels, data.test_labels])
    scores = conformal.lac_scores(served.probabilities(rows))
    own = scores[np.arange(len(truth)), truth]
    rng, covered, sizes = np.random.default_rng(7), [], []
    for _ in range(_SPLITS):
        order = rng.permutation(len(rows))
        half = len(rows) // 2
        past = order[:half]
        bound = conformal.limit(conformal.of_truth(scores[past], truth[past]), COVERAGE)
        covered.append(float((own[order[half:]] <= bound).mean()))
        sizes.append(float((scores[order[half:]] <= bound).sum(axis=1).mean()))
    return float(np.mean(covered)), float(np.mean(sizes))
