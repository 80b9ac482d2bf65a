"""The tests of a rollout on many simulated streams at once: arrays of shape (runs, requests).

The formulas are those of services/rollout/domain, which takes one request at a time; a test compares both.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.rollout.domain.betting import FRACTIONS
from services.rollout.domain.evidence import NO_EVIDENCE, RATE_RATIOS
from services.rollout.domain.pairs import SHARES
from services.rollout.domain.sample_ratio import CONCENTRATION

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).max


def crossing(log_e: NDArray[Any], limit: float) -> NDArray[np.int64]:
    """The request, from 1, at which each run's path first reaches the limit; NEVER if it does not."""
    reached = log_e >= limit
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, NEVER)


def log_mean(paths: list[Numbers]) -> Numbers:
    """log of the mean of exp(paths)."""
    highest = np.maximum.reduce(paths)
    return np.asarray(highest + np.log(sum(np.exp(path - highest) for path in paths) / len(paths)))


def bad_events(is_canary: Flags, is_bad: Flags, share: Numbers) -> Numbers:
    """`evidence.add_bad_event` after each request."""
    return log_mean(
        [
            begun
            + np.cumsum(
                np.where(is_bad, np.where(is_canary, np.log(r), 0) - np.log1p(share * (r - 1)), 0), axis=1
            )
            for r, begun in zip(RATE_RATIOS, NO_EVIDENCE, strict=True)
        ]
    )


def pairs_worse(difference: Numbers) -> Numbers:
    """`pairs.log_e_worse` after each pair; difference is 1 for a loss, 0 for a tie, -1 for a win."""
    return log_mean([np.cumsum(np.log1p((2 * t - 1) * difference), axis=1) for t in SHARES])


def pairs_no_worse(difference: Numbers, margin: float) -> Numbers:
    """`pairs.log_e_no_worse` after each pair."""
    return log_mean([np.cumsum(np.log1p((2 * t - 1) * (margin - difference)), axis=1) for t in SHARES])


def contrasts(is_canary: Flags, values: Numbers, share: Numbers, *, first: float) -> tuple[Numbers, Numbers]:
    """`effect`'s contrasts, and the centres they were taken from."""
    count = np.arange(values.shape[1])
    centre = np.full_like(values, first)
    centre[:, 1:] = np.cumsum(values, axis=1)[:, :-1] / count[1:]
    weight = np.where(is_canary, 1 / share, -1 / (1 - share))
    return np.asarray(weight * (values - centre)), centre


def proof_of_events(is_canary: Flags, is_bad: Flags, share: Numbers, *, margin: float) -> Numbers:
    """`effect`'s proof for events after each request."""
    gains, centre = contrasts(is_canary, is_bad.astype(float), share, first=0.5)
    worst = np.maximum((1 - centre) / share, centre / (1 - share)) - margin
    part = (margin - gains) / worst
    return log_mean([np.cumsum(np.log1p(f * part), axis=1) for f in FRACTIONS])


def mean_above(values: Numbers, *, rho: float, minimum: int) -> Numbers:
    """`mean_sequence.log_e_above` 0 after each value, from the minimum sample on."""
    n = np.arange(1, values.shape[1] + 1)
    total = np.cumsum(values, axis=1)
    variance = (np.cumsum(values**2, axis=1) - total**2 / n) / np.maximum(n - 1, 1)
    z = total / np.sqrt(np.maximum(variance, 1e-300))
    v = n + 1 / rho**2
    path = np.log(2) - np.log(n * rho**2 + 1) / 2 + z**2 / (2 * v) + np.log(normal_cdf(z / np.sqrt(v)))
    path[:, : minimum - 1] = 0
    return np.asarray(path)


def normal_cdf(z: Numbers) -> Numbers:
    """Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.2.17: within 7.5e-8."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    poly = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * poly
    return np.asarray(np.maximum(np.where(z > 0, 1 - tail, tail), 1e-300))


def sample_ratio(is_canary: Flags, share: float) -> Numbers:
    """`sample_ratio.log_e_of_counts` of two arms after each unit, by the chain rule."""
    before: Numbers = np.cumsum(is_canary, axis=1) - is_canary
    n = np.arange(is_canary.shape[1])
    chance = (CONCENTRATION * share + before) / (CONCENTRATION + n)
    steps = np.where(is_canary, np.log(chance / share), np.log((1 - chance) / (1 - share)))
    return np.asarray(np.cumsum(steps, axis=1))


def looked_at(is_canary: Flags, is_bad: Flags, *, every: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Bad share and requests of the canary and the champion at each look."""
    at = slice(every - 1, None, every)
    n1 = np.cumsum(is_canary, axis=1)[:, at]
    n0 = np.cumsum(~is_canary, axis=1)[:, at]
    p1 = np.cumsum(is_canary & is_bad, axis=1)[:, at] / np.maximum(n1, 1)
    p0 = np.cumsum(~is_canary & is_bad, axis=1)[:, at] / np.maximum(n0, 1)
    return p1, p0, n1.astype(float), n0.astype(float)


def usual_rule(is_canary: Flags, is_bad: Flags, *, every: int = 100) -> NDArray[np.int64]:
    """Three looks in a row 2 points above the champion: the rule of common rollout tools."""
    p1, p0, _, _ = looked_at(is_canary, is_bad, every=every)
    above = p1 - p0 > 0.02
    thrice = above[:, 2:] & above[:, 1:-1] & above[:, :-2]
    return np.where(thrice.any(axis=1), (thrice.argmax(axis=1) + 3) * every, NEVER)


def peeking_z_test(is_canary: Flags, is_bad: Flags, *, every: int = 100) -> NDArray[np.int64]:
    """A one-sided z-test at 5 %, read at every look."""
    p1, p0, n1, n0 = looked_at(is_canary, is_bad, every=every)
    pooled = (p1 * n1 + p0 * n0) / (n1 + n0)
    error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n1, 1) + 1 / np.maximum(n0, 1)))
    crossed = crossing((p1 - p0) / np.maximum(error, 1e-12), 1.6448536)
    return np.where(crossed == NEVER, NEVER, np.minimum(crossed, NEVER // every) * every)
