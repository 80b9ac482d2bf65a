"""How far two histograms are apart."""

import math
from collections.abc import Sequence
from itertools import zip_longest

Counts = Sequence[int]


def jensen_shannon_distance(one: Counts, other: Counts) -> float:
    """Jensen-Shannon distance between the shares of two histograms.

    Args:
        one: Counts per bin, total > 0.
        other: Counts over the same bins, total > 0; the shorter one is filled with zeros.
    Returns:
        A metric between 0 (equal shares) and 1 (no bin in common).
    Formula: sqrt((KL(p || m) + KL(q || m)) / 2) with m = (p + q) / 2 and logarithms to base 2.
    Source: Lin, Divergence measures based on the Shannon entropy, 1991, eq. 4.1;
        Endres and Schindelin, A new metric for probability distributions, 2003.
    """
    total_one, total_other = sum(one), sum(other)
    divergence = 0.0
    for a, b in zip_longest(one, other, fillvalue=0):
        p, q = a / total_one, b / total_other
        middle = (p + q) / 2
        divergence += sum(x * math.log2(x / middle) / 2 for x in (p, q) if x > 0)
    return math.sqrt(max(0.0, divergence))


def homogeneity_p_value(one: Counts, other: Counts) -> float:
    """Pearson's chi-square test that two histograms come from one distribution.

    Args:
        one: Counts per bin, total > 0.
        other: Counts over the same bins, total > 0.
    Returns:
        The p-value; 1 where fewer than two bins are filled.
    Formula: sum((n_ij - e_ij)^2 / e_ij) with e_ij = row total * column total / total, dof = bins - 1.
    Source: Pearson, On the criterion that a given system of deviations ..., 1900; Cramer,
        Mathematical Methods of Statistics, 1946, section 30.6.
    """
    pairs = [(a, b) for a, b in zip_longest(one, other, fillvalue=0) if a + b]
    if len(pairs) < 2:
        return 1.0
    totals = (sum(one), sum(other))
    statistic = 0.0
    for pair in pairs:
        for count, total in zip(pair, totals, strict=True):
            expected = sum(pair) * total / sum(totals)
            statistic += (count - expected) ** 2 / expected
    return chi_square_survival(statistic, dof=len(pairs) - 1)


def chi_square_survival(statistic: float, *, dof: int) -> float:
    """P(X >= statistic) for a chi-square variable with a whole number of degrees of freedom.

    Formula: with y = x / 2, even dof: exp(-y) sum_{i < dof/2} y^i / i!;
        odd dof: erfc(sqrt(y)) + exp(-y) sum_{i < (dof-1)/2} y^(i + 1/2) / Gamma(i + 3/2).
    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.4.4 and 26.4.5.
    """
    half = statistic / 2
    shift = (dof % 2) / 2
    tail = math.erfc(math.sqrt(half)) if dof % 2 else 0.0
    if half == 0:
        return 1.0
    logs = ((i + shift) * math.log(half) - half - math.lgamma(i + shift + 1) for i in range(dof // 2))
    return min(1.0, tail + math.fsum(math.exp(term) for term in logs))
