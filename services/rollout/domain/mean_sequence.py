"""Confidence in a mean that may be looked at after every value: asymptotic, for unbounded values.

The central limit theorem made uniform over time. It holds from a minimum sample on, which the caller sets;
with few values, or heavy tails, it promises nothing.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Time-uniform central limit theory and asymptotic
confidence sequences, Annals of Statistics 52, 2024; equations as numbered in arXiv 2103.06476v7. Robbins,
Statistical methods related to the law of the iterated logarithm, Annals of Mathematical Statistics 41, 1970
(the normal mixture).
"""

from math import inf, log, sqrt

from scipy.special import log_ndtr

from services.rollout.domain.moments import Moments
from slipway.errors import InvalidInput


def scale(samples: float, *, alpha: float) -> float:
    """The mixture's scale that makes the interval narrowest when there are `samples` values.

    Args:
        samples: Values at which the decision is expected, > 0.
        alpha: Two-sided error, in (0, 1).
    Formula: rho = sqrt((-2 ln(alpha) + ln(-2 ln(alpha) + 1)) / samples), eq. 161.
    Raises:
        InvalidInput: Out of range.
    """
    if not samples > 0 or not 0 < alpha < 1:
        raise InvalidInput(f"{samples} samples at alpha {alpha}: must be > 0 and within (0, 1)")
    return sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / samples)


def half_width(moments: Moments, *, rho: float, alpha: float) -> float:
    """Half of the confidence sequence around the mean; infinite below two values.

    Formula: sigma sqrt(2 (n rho^2 + 1) / (n^2 rho^2) ln(sqrt(n rho^2 + 1) / alpha)), eq. 9.
    """
    n = moments.count
    if n < 2:
        return inf
    inflated = n * rho * rho + 1
    return sqrt(moments.variance * 2 * inflated / (n * rho) ** 2 * log(sqrt(inflated) / alpha))


def difference(control: Moments, arm: Moments) -> Moments:
    """Arm minus control as the mean of one sequence, for shares that never change.

    While shares grow, use `effect.Effect.contrasts`: averages of different days do not compare.

    Args:
        control: At least two values.
        arm: At least two values.
    Formula: n = n1 + n0 values of mean m1 - m0 and variance n (v1 / n1 + v0 / n0).
    Raises:
        InvalidInput: An arm with fewer than two values.
    """
    if control.count < 2 or arm.count < 2:
        raise InvalidInput(f"{control.count} and {arm.count} values: each arm needs at least 2")
    count = control.count + arm.count
    variance = count * (control.variance / control.count + arm.variance / arm.count)
    return Moments(count=count, mean=arm.mean - control.mean, squares=variance * (count - 1))


def interval(moments: Moments, *, rho: float, alpha: float) -> tuple[float, float]:
    """The two-sided confidence sequence of the (running average of the) mean."""
    width = half_width(moments, rho=rho, alpha=alpha)
    return moments.mean - width, moments.mean + width


def log_e_above(moments: Moments, limit: float, *, rho: float) -> float:
    """Asymptotic log e-value against "the mean is at most `limit`".

    Args:
        moments: Of the values.
        limit: On their scale.
        rho: From `scale`.
    Returns:
        0 where the values do not differ yet: no spread is no proof, it is a spread not seen.
    Formula: with z = n (mean - limit) / sigma and v = n + 1 / rho^2,
        E = 2 / sqrt(n rho^2 + 1) exp(z^2 / (2 v)) Phi(z / sqrt(v)): the mixture of exp(t z - t^2 n / 2) over
        a half-normal t > 0 of scale rho, a supermartingale for every mean up to the limit.
    Source: the one-sided half of eq. 155; Howard, Ramdas, McAuliffe, Sekhon, Time-uniform, nonparametric,
        nonasymptotic confidence sequences, Annals of Statistics 49, 2021 (one-sided normal mixture).
    """
    if moments.count < 2 or moments.variance <= 0:
        return 0.0
    n = moments.count
    z = n * (moments.mean - limit) / sqrt(moments.variance)
    v = n + 1 / (rho * rho)
    return log(2) - log(n * rho * rho + 1) / 2 + z * z / (2 * v) + float(log_ndtr(z / sqrt(v)))
