"""Inputs with a score above 1: how many more than a version's false-positive rate and chance explain."""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import Final

import numpy as np
from scipy.special import betaln, gammaln

from services.drift_detection.domain.distributions import CLEAR_RATIO, Reference
from services.drift_detection.domain.sketch import Sketch
from services.drift_detection.domain.verdicts import Signal, Verdict

SIGNIFICANCE: Final = 1e-4  # of one look; a window is looked at again with each block
AT_LEAST: Final = 2.0  # times the rate: with many rows less is significant, and of no consequence


def unusual_verdicts(window: Sketch, reference: Reference, *, rate: float) -> Iterator[Verdict]:
    """Compare the share of unusual inputs with the rate that the threshold of the score was chosen for.

    Args:
        window: The last rows; those without a score do not count.
        reference: Of the version; without held-out scores nothing is said.
        rate: The spec's false-positive rate.
    """
    if not window.scored or not reference.calibration_rows:
        return
    by_chance = most_by_chance(window.scored, calibration_rows=reference.calibration_rows, rate=rate)
    threshold = max((by_chance + 1) / window.scored, AT_LEAST * rate)
    share = window.unusual / window.scored
    yield Verdict(
        signal=Signal.INPUT_SCORE,
        statistic_name="unusual_share",
        statistic=share,
        threshold=threshold,
        clear_below=CLEAR_RATIO * threshold,
        is_raised=share >= threshold,
        rows=window.scored,
        start_s=window.first_at_s,
        end_s=window.last_at_s,
        evidence=f"{window.unusual} of the last {window.scored} scored inputs ({share:.1%}) are unusual to "
        f"the version; {rate:.1%} of inputs like its training rows are, and chance explains {by_chance}.",
    )


@lru_cache(4096)
def most_by_chance(rows: int, *, calibration_rows: int, rate: float) -> int:
    """The largest number of unusual rows whose exceedance is not yet rarer than 1 in 10,000.

    Formula: of m rows of the same law as n held-out ones, those above the k-th smallest held-out score,
        k = ceil((n + 1)(1 - rate)), are BetaBinomial(m, n + 1 - k, k): the rate that a threshold really has
        differs from the one it was chosen for, and the more so the fewer rows chose it.
    Source: Vovk, Conditional validity of inductive conformal predictors, Machine Learning 92, 2013,
        section 3; Angelopoulos and Bates, A gentle introduction to conformal prediction, 2023, section 3.2.
    """
    place = min(ceil((calibration_rows + 1) * (1 - rate) - 1e-9), calibration_rows)
    above, below = calibration_rows + 1 - place, place
    counts = np.arange(rows + 1)
    choices = gammaln(rows + 1) - gammaln(counts + 1) - gammaln(rows - counts + 1)
    chances = np.exp(choices + betaln(counts + above, rows - counts + below) - betaln(above, below))
    at_least = np.cumsum(chances[::-1])[::-1]  # summed from the rare end, where rounding would hurt
    return int(np.flatnonzero(at_least >= SIGNIFICANCE)[-1])
