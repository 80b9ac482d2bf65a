"""The analysis at the end of an A/B test whose length was fixed before it began: one look, at the end.

Between looks use the sequential tests; these here are wrong when one stops because of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final

from scipy.special import stdtr, stdtrit

from services.rollout.domain.moments import Moments
from slipway.errors import InvalidInput

_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An arm against the control.

    Attributes:
        difference: Arm minus control.
        low, high: Confidence interval of the difference at 1 - alpha.
        p_value: Two-sided.
    """

    difference: float
    low: float
    high: float
    p_value: float


def compare_means(control: Moments, arm: Moments, *, alpha: float) -> Comparison:
    """Welch's t-test of two means with unequal variances.

    Formula: t = (m1 - m0) / sqrt(v1 / n1 + v0 / n0),
        dof = (v1 / n1 + v0 / n0)^2 / ((v1 / n1)^2 / (n1 - 1) + (v0 / n0)^2 / (n0 - 1)).
    Source: Welch, The generalization of Student's problem when several different population variances are
        involved, Biometrika 34, 1947.
    Raises:
        InvalidInput: An arm with fewer than two values, or no spread at all.
    """
    if control.count < 2 or arm.count < 2:
        raise InvalidInput(f"{control.count} and {arm.count} values: each arm needs at least 2")
    of_control, of_arm = control.variance / control.count, arm.variance / arm.count
    error = sqrt(of_control + of_arm)
    if error == 0:
        raise InvalidInput("all values of both arms are equal: no error can be estimated")
    dof = (of_control + of_arm) ** 2 / (of_control**2 / (control.count - 1) + of_arm**2 / (arm.count - 1))
    difference = arm.mean - control.mean
    width = float(stdtrit(dof, 1 - alpha / 2)) * error
    return Comparison(
        difference=difference,
        low=difference - width,
        high=difference + width,
        p_value=2 * float(stdtr(dof, -abs(difference) / error)),
    )


def compare_shares(control: tuple[int, int], arm: tuple[int, int], *, alpha: float) -> Comparison:
    """The z-test of two shares, with Newcombe's interval, which holds for shares near 0 and 1.

    Args:
        control: Events and requests.
        arm: Events and requests.
        alpha: Two-sided error.
    Formula: z = (p1 - p0) / sqrt(p (1 - p) (1 / n1 + 1 / n0)) with the pooled share p; interval:
        d - sqrt((p1 - l1)^2 + (u0 - p0)^2) to d + sqrt((u1 - p1)^2 + (p0 - l0)^2), l and u Wilson's bounds.
    Source: Newcombe, Interval estimation for the difference between independent proportions, Statistics in
        Medicine 17, 1998, method 10; Wilson, Probable inference, the law of succession, and statistical
        inference, JASA 22, 1927.
    Raises:
        InvalidInput: An arm without requests, or more events than requests.
    """
    for events, requests in (control, arm):
        if not 0 <= events <= requests or requests == 0:
            raise InvalidInput(f"{events} events in {requests} requests: needs 0 <= events <= requests, > 0")
    z = _NORMAL.inv_cdf(1 - alpha / 2)
    (low0, share0, high0), (low1, share1, high1) = _wilson(control, z), _wilson(arm, z)
    difference = share1 - share0
    pooled = (control[0] + arm[0]) / (control[1] + arm[1])
    error = sqrt(pooled * (1 - pooled) * (1 / control[1] + 1 / arm[1]))
    return Comparison(
        difference=difference,
        low=difference - sqrt((share1 - low1) ** 2 + (high0 - share0) ** 2),
        high=difference + sqrt((high1 - share1) ** 2 + (share0 - low0) ** 2),
        p_value=2 * _NORMAL.cdf(-abs(difference) / error) if error else 1.0,
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of several arms against one control, so corrected that they can be read one by one.

    Formula: sorted p_(1) <= ...: p'_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 1979.
    """
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: (p_values[n], n))):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = highest
    return corrected


def _wilson(counts: tuple[int, int], z: float) -> tuple[float, float, float]:
    events, requests = counts
    share = events / requests
    middle = (share + z * z / (2 * requests)) / (1 + z * z / requests)
    width = z * sqrt(share * (1 - share) / requests + (z / (2 * requests)) ** 2) / (1 + z * z / requests)
    return min(middle - width, share), share, max(middle + width, share)
