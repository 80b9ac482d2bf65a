"""Does each arm get the traffic that it was given? If not, no comparison between the arms can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, lgamma, log
from typing import Final

from scipy.special import chdtrc

from slipway.errors import InvalidInput

# The alternative is centred on the promised shares; larger looks for smaller deviations.
CONCENTRATION: Final = 100.0
SHARES_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """Units per arm under the present shares, and the evidence of the shares before.

    Attributes:
        shares: Promised shares, sum 1.
        counts: New units per arm, same order.
        closed_log_e: Log e-value of all earlier shares.
    """

    shares: tuple[float, ...]
    counts: tuple[int, ...]
    closed_log_e: float = 0.0

    @property
    def log_e_value(self) -> float:
        """Evidence that the traffic is not what was promised."""
        return self.closed_log_e + log_e_of_counts(self.counts, self.shares)


def begin(shares: Sequence[float]) -> SampleRatio:
    """Nothing counted yet.

    Raises:
        InvalidInput: Shares that are negative or do not sum to 1.
    """
    if any(not share >= 0 for share in shares) or abs(sum(shares) - 1) > SHARES_TOLERANCE:
        raise InvalidInput(f"shares {list(shares)}: must be >= 0 and sum to 1")
    return SampleRatio(shares=tuple(shares), counts=(0,) * len(shares))


def observe(ratio: SampleRatio, arm: int) -> SampleRatio:
    """Count a new unit of an arm."""
    counts = list(ratio.counts)
    counts[arm] += 1
    return SampleRatio(shares=ratio.shares, counts=tuple(counts), closed_log_e=ratio.closed_log_e)


def with_shares(ratio: SampleRatio, shares: Sequence[float]) -> SampleRatio:
    """Go on under new shares; what was found stays: e-values of one part after the other multiply."""
    fresh = begin(shares)
    return SampleRatio(shares=fresh.shares, counts=fresh.counts, closed_log_e=ratio.log_e_value)


def log_e_of_counts(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Log e-value against "each unit went to arm i with probability `shares[i]`".

    Args:
        counts: Units per arm, shape (arms,).
        shares: Promised shares, shape (arms,), sum 1.
    Returns:
        Natural logarithm; infinite where an arm without a share got traffic: weight 0 means 0.
    Formula: with a_i = k shares_i: ln Gamma(k) - ln Gamma(k + n)
        + sum(ln Gamma(a_i + n_i) - ln Gamma(a_i) - n_i ln shares_i).
    Source: Lindon, Malek, Anytime-Valid Inference for Multinomial Count Data, NeurIPS 2022, section 3
        (Dirichlet mixture; k = 100 is the default of the authors' published code).
    """
    total = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        if share == 0:
            if count:
                return inf
            continue
        prior = CONCENTRATION * share
        total += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return total


def chi_square_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Pearson's test of the same, for one look at the end; 1 without traffic.

    Formula: sum((n_i - n s_i)^2 / (n s_i)), dof = arms with a share - 1.
    Source: Pearson, On the criterion that a given system of deviations ..., 1900.
    """
    if any(count and not share for count, share in zip(counts, shares, strict=True)):
        return 0.0
    total = sum(counts)
    used = [(count, share * total) for count, share in zip(counts, shares, strict=True) if share > 0]
    if not total or len(used) < 2:
        return 1.0
    return float(chdtrc(len(used) - 1, sum((count - due) ** 2 / due for count, due in used)))
