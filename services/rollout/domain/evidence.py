"""Evidence of harm that may be looked at after every request without fooling oneself.

Both tests are e-processes: under "no harm" their expectation never exceeds 1, so by Ville's
inequality the chance of ever reaching 1/alpha is at most alpha, whenever one stops.

Source: Lindon, Malek, Anytime-Valid Inference for Multinomial Count Data, NeurIPS 2022, section 4
(condition on the events, bet on the arm they fall on); Ville, Etude critique de la notion de
collectif, 1939; the mixture over rate ratios is a convex combination of e-processes.
"""

from collections.abc import Sequence
from math import exp, log
from typing import Final

from services.rollout.domain.betting import log_mean_exp

RATE_RATIOS: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
# How the first stake is spread over them: most on the ratios that are common and still hurt. Chosen among
# seven spreads in 600 simulated streams at 10 %: median requests to find 0.20 -> 0.30 and 0.20 -> 0.40
# were 1,552 and 472 with this one, 1,899 and 519 with an even one.
_STAKES: Final = (1, 2, 4, 4, 2, 1, 1)
# With no other arm to compare with, only gross harm is worth a bet.
BAKE_RATIOS: Final = (1.5, 2.0, 3.0, 5.0)
_CERTAIN: Final = 0.99

LogRatios = tuple[float, ...]
NO_EVIDENCE: Final[LogRatios] = tuple(log(stake * len(_STAKES) / sum(_STAKES)) for stake in _STAKES)
NO_BAKE_EVIDENCE: Final[LogRatios] = (0.0,) * len(BAKE_RATIOS)


def add_bad_event(log_ratios: LogRatios, *, is_canary: bool, share: float) -> LogRatios:
    """Bet once more on which arm a bad event falls.

    Args:
        log_ratios: log E_k per rate ratio, so far.
        is_canary: The bad event is the canary's.
        share: The canary's share of the assignments when the event's request was routed, 0..1.
    Returns:
        The new log E_k. With a share of 0 or 1 there is nothing to compare, and nothing changes.
    Formula: q_k = s r_k / (1 - s + s r_k); E_k *= q_k / s for the canary, (1 - q_k) / (1 - s) otherwise.
    """
    if not 0 < share < 1:
        return log_ratios
    return tuple(
        total + (log(r) if is_canary else 0.0) - log(1 - share + share * r)
        for total, r in zip(log_ratios, RATE_RATIOS, strict=True)
    )


def add_request(log_ratios: LogRatios, *, is_bad: bool, baseline: float) -> LogRatios:
    """Bet once more on whether a request goes badly more often than `baseline`.

    Args:
        log_ratios: log E_k per rate ratio, so far.
        is_bad: The request failed.
        baseline: The share of bad requests that is tolerated, in (0, 1), fixed beforehand.
    Formula: p_k = min(r_k p, 0.99); E_k *= p_k / p for a bad request, (1 - p_k) / (1 - p) for a good one.
    """
    return tuple(
        total + _log_likelihood_ratio(min(r * baseline, _CERTAIN), baseline, is_bad=is_bad)
        for total, r in zip(log_ratios, BAKE_RATIOS, strict=True)
    )


def _log_likelihood_ratio(alternative: float, baseline: float, *, is_bad: bool) -> float:
    if alternative <= baseline:  # a baseline of nearly 1: no worse is possible
        return 0.0
    return log(alternative / baseline) if is_bad else log((1 - alternative) / (1 - baseline))


def e_value(log_ratios: Sequence[float]) -> float:
    """The mean of all E_k; capped where it would overflow."""
    return sum(exp(min(x, 700.0)) for x in log_ratios) / len(log_ratios)


def log_e_of_requests(bad: int, requests: int, *, baseline: float) -> float:
    """Log e-value against "requests go badly no more often than `baseline`", from their counts alone.

    Formula: `add_request` over all of them, in any order: a product has none.
    """
    totals = (
        bad * _log_likelihood_ratio(min(r * baseline, _CERTAIN), baseline, is_bad=True)
        + (requests - bad) * _log_likelihood_ratio(min(r * baseline, _CERTAIN), baseline, is_bad=False)
        for r in BAKE_RATIOS
    )
    return log_mean_exp(tuple(totals))


def log_e_of_single_class(share: float, rows: int) -> float:
    """Log chance against so many answers of one class, were they drawn at the champion's share of it.

    Args:
        share: The champion's share of answers with this class, in (0, 1].
        rows: Answers of the canary so far, all of this class.
    Formula: -rows ln(share).
    """
    return -rows * log(share)
