"""Shadow traffic: both versions answer the same request, and the label says who was right.

Only requests where exactly one was right tell them apart, so a shadow needs far fewer labels than two
arms with requests of their own. Wins, ties and losses are all that the tests need: the state is three
whole numbers, so order and merging cannot change a result.
"""

from dataclasses import dataclass
from math import log1p
from typing import Final

from services.rollout.domain.betting import log_mean_exp
from slipway.errors import InvalidInput

# Stakes 2 theta - 1 for shares theta of one side among the discordant pairs.
SHARES: Final = (0.52, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Labelled pairs of a shadow.

    Attributes:
        wins: The candidate right, the champion wrong.
        ties: Both right or both wrong.
        losses: The candidate wrong, the champion right.
    """

    wins: int = 0
    ties: int = 0
    losses: int = 0

    @property
    def labels(self) -> int:
        """All pairs."""
        return self.wins + self.ties + self.losses

    @property
    def difference(self) -> float:
        """The candidate's error rate minus the champion's on the same rows, -1..1; 0 without pairs."""
        return (self.losses - self.wins) / self.labels if self.labels else 0.0


NO_PAIRS: Final = Pairs()


def observe(pairs: Pairs, *, is_champion_right: bool, is_candidate_right: bool) -> Pairs:
    """Count one pair."""
    if is_champion_right == is_candidate_right:
        return Pairs(wins=pairs.wins, ties=pairs.ties + 1, losses=pairs.losses)
    if is_candidate_right:
        return Pairs(wins=pairs.wins + 1, ties=pairs.ties, losses=pairs.losses)
    return Pairs(wins=pairs.wins, ties=pairs.ties, losses=pairs.losses + 1)


def merge(one: Pairs, other: Pairs) -> Pairs:
    """Both counts together."""
    return Pairs(wins=one.wins + other.wins, ties=one.ties + other.ties, losses=one.losses + other.losses)


def log_e_worse(pairs: Pairs, *, margin: float = 0.0) -> float:
    """Log e-value against "its error rate is at most `margin` above the champion's".

    Args:
        pairs: Counts so far.
        margin: Tolerated difference of error rates, 0 <= margin < 1.
    Formula: with d = 1, 0, -1 for a loss, a tie, a win and the null E[d | past] <= margin,
        E = mean_k prod(1 + s_k (d - margin) / (1 + margin)), s_k = 2 theta_k - 1.
        With margin 0 this is mean_k (2 theta_k)^losses (2 (1 - theta_k))^wins: McNemar's test, sequential.
    Source: Waudby-Smith, Ramdas, JRSS B 86, 2024, section 4; McNemar, Note on the sampling error of the
        difference between correlated proportions or percentages, Psychometrika 12, 1947.
    Raises:
        InvalidInput: The margin.
    """
    _check(margin)
    return log_mean_exp([_log_wealth(pairs, stake=(2 * t - 1) / (1 + margin), margin=margin) for t in SHARES])


def log_e_no_worse(pairs: Pairs, *, margin: float) -> float:
    """Log e-value against "its error rate is at least `margin` above the champion's".

    Large values prove non-inferiority; with margin 0 they prove the candidate better.
    Formula: E = mean_k prod(1 + s_k (margin - d)): the worst loss is 1 - margin, and s_k < 1.
    Raises:
        InvalidInput: The margin.
    """
    _check(margin)
    mirrored = Pairs(wins=pairs.losses, ties=pairs.ties, losses=pairs.wins)
    return log_mean_exp([_log_wealth(mirrored, stake=2 * t - 1, margin=-margin) for t in SHARES])


def _log_wealth(pairs: Pairs, *, stake: float, margin: float) -> float:
    return (
        pairs.losses * log1p(stake * (1 - margin))
        + pairs.ties * log1p(-stake * margin)
        + pairs.wins * log1p(-stake * (1 + margin))
    )


def _check(margin: float) -> None:
    if not 0 <= margin < 1:
        raise InvalidInput(f"a margin of {margin}: must be a difference of error rates, 0 <= margin < 1")
