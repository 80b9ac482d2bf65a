"""Whether more of a caller's new questions are of one kind than honest use explains, since any moment."""

from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Alternatives to the tolerated share p, as p + part * (1 - p): from a slight excess to nearly all.
_PARTS: Final = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
NOTHING: Final = (-np.inf,) * len(_PARTS)
MOST_TOLERATED: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of a caller's new questions were of one kind, and the evidence that this is too many.

    Attributes:
        log_detectors: One e-detector for each alternative share, as logarithms.
    """

    asked: int = 0
    found: int = 0
    log_detectors: tuple[float, ...] = NOTHING

    @property
    def rate(self) -> float:
        """Of all, the share that was of that kind."""
        return self.found / self.asked if self.asked else 0.0

    @property
    def statistic(self) -> float:
        """Logarithm of the evidence."""
        detectors = np.array(self.log_detectors)
        most = float(detectors.max())
        if most == -np.inf:
            return 0.0
        return most + log(float(np.exp(detectors - most).mean()))


def ask(share: Share, *, is_found: bool, tolerated: float) -> Share:
    """Count one more question.

    Args:
        share: As it was.
        is_found: The question is of the kind that is counted.
        tolerated: The share that honest callers may have, below 1.
    Formula: M <- (M + 1) q / p where it is found, (M + 1) (1 - q) / (1 - p) where not; the mean over q > p.
        While the share is at most p, the expected number of questions until the mean passes c is at least c.
    Source: Shin, Ramdas, Rinaldo, E-detectors: a nonparametric framework for sequential change detection,
        NEJSDS 2(2), 2024, definition 2.4 (Shiryaev-Roberts).
    """
    alternatives = tolerated + _PARTS * (1 - tolerated)
    ratios: NDArray[np.float64] = (
        alternatives / tolerated if is_found else (1 - alternatives) / (1 - tolerated)
    )
    detectors = np.logaddexp(np.array(share.log_detectors), 0.0) + np.log(ratios)
    return Share(
        asked=share.asked + 1,
        found=share.found + is_found,
        log_detectors=tuple(float(x) for x in detectors),
    )


def tolerated_share(floor: float, *, asked_by_others: float, found_by_others: float, fewest: int) -> float:
    """What is tolerated of one caller: twice what the model's other callers have, never less than a floor.

    What happens to all of them, as drift does, is nobody's attack.

    Args:
        floor: Tolerated in any case.
        asked_by_others: New questions of the model's other callers.
        found_by_others: How many of them were of that kind.
        fewest: With fewer questions of others only the floor counts.
    """
    if asked_by_others < fewest:
        return floor
    return min(MOST_TOLERATED, max(floor, 2 * found_by_others / asked_by_others))
