"""Distances between a caller's own questions: PRADA, in a bounded memory."""

from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MOST_NUMBERS: Final = 8192  # of the questions kept, 32 KiB a caller
MOST_KEPT: Final = 256
MOST_DISTANCES: Final = 400
FEWEST_DISTANCES: Final = 100  # as in the paper
_SAME: Final = 1e-5  # of a feature's spread
_STRAIGHT: Final = 0.999  # cosine: within three degrees of a line
_OUTLIER: Final = 3.0  # standard deviations, as in the paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A caller's latest new questions.

    Attributes:
        points: Shape (kept, features), in spreads of the training rows.
        answers: The class that was answered to each.
    """

    points: Floats = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    answers: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """What is remembered of a caller's questions.

    Attributes:
        recent: Distances of the latest from those with the same answer before them, the oldest first.
    """

    kept: Kept = field(default_factory=Kept)
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    """How a question lies beside the earlier ones.

    Attributes:
        nearest: Distance to the nearest earlier one; infinite for the first.
        nearest_alike: The same among those with the same answer.
        changed: In how many features it differs from the one it differs least from.
        is_in_line: It lies on the line through the two nearest ones.
    """

    nearest: float
    nearest_alike: float
    changed: int
    is_in_line: bool = False

    @property
    def is_repeat(self) -> bool:
        """Whether it was asked before."""
        return self.changed == 0


def novelty(kept: Kept, point: Floats, answer: int) -> Novelty:
    """Compare a question with those kept."""
    if not len(kept.points):
        return Novelty(nearest=np.inf, nearest_alike=np.inf, changed=len(point))
    apart = np.abs(kept.points - point)
    distances = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    alike = distances[kept.answers == answer]
    nearest = np.argsort(distances)[:2]
    return Novelty(
        nearest=float(distances[nearest[0]]),
        nearest_alike=float(alike.min()) if alike.size else np.inf,
        changed=int((apart > _SAME).sum(axis=1).min()),
        is_in_line=_is_straight(kept.points[nearest] - point),
    )


def _is_straight(steps: Floats) -> bool:
    """Whether two steps go the same way or against each other; in one dimension all do: it says nothing."""
    if len(steps) < 2 or steps.shape[1] < 2:
        return False
    one, two = steps.astype(np.float64)
    product = float(np.linalg.norm(one) * np.linalg.norm(two))
    return product > 0 and abs(float(one @ two)) > _STRAIGHT * product


def remember(spacing: Spacing, point: Floats, *, answer: int, nearest_alike: float) -> Spacing:
    """Keep a new question, and how far it is from those with the same answer.

    Source: Juuti, Szyller, Marchal, Asokan, PRADA: protecting against DNN model stealing attacks, EuroS&P
        2019, algorithm 3. In place of its growing sets, which an outlier keeps from growing in tables, the
        latest questions stand.
    """
    recent = spacing.recent
    if np.isfinite(nearest_alike):
        recent = (*recent, nearest_alike)[-MOST_DISTANCES:]
    most = max(16, min(MOST_KEPT, MOST_NUMBERS // max(1, len(point))))
    kept = spacing.kept
    points = kept.points if len(kept.points) else np.zeros((0, len(point)), dtype=np.float32)
    return Spacing(
        kept=Kept(
            points=np.vstack([points, point])[-most:].astype(np.float32),
            answers=np.append(kept.answers, np.int32(answer))[-most:].astype(np.int32),
        ),
        recent=recent,
    )


def normality(recent: tuple[float, ...]) -> float | None:
    """How normal the logarithms of the distances are, 1 at the most; None while there are too few.

    PRADA looks at the distances themselves. Those between rows of a table are skewed in honest use already;
    their logarithms are not.

    Formula: the squared correlation of the ordered values with normal scores (Blom's), without what lies
        three standard deviations away.
    Source: Shapiro, Francia, An approximate analysis of variance test for normality, JASA 67(337), 1972,
        equation 2, which for more than 50 values stands for Shapiro and Wilk's W.
    """
    if len(recent) < FEWEST_DISTANCES:
        return None
    values = np.log(np.array(recent) + _SAME)
    values = np.sort(values[np.abs(values - values.mean()) <= _OUTLIER * values.std()])
    if not values.size or values[0] == values[-1]:
        return 0.0
    scores = _normal_scores(values.size)
    return float(np.corrcoef(values, scores)[0, 1] ** 2)


@lru_cache(maxsize=MOST_DISTANCES)
def _normal_scores(count: int) -> NDArray[Any]:
    normal = NormalDist()
    return np.array([normal.inv_cdf((at - 0.375) / (count + 0.25)) for at in range(1, count + 1)])
