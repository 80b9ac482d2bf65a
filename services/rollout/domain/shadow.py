"""What a version in shadow answered to copies of the requests: counts, since no user saw it."""

from dataclasses import dataclass
from typing import Final, Literal

from services.rollout.domain.slow_line import NO_LINE, SlowLine
from services.rollout.domain.slow_line import observe as observe_latency

Answered = Literal["good", "failed", "malformed", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSeen:
    """One copy's record.

    Attributes:
        compared: Rows of which both versions' answers are known.
        answers: Per row, as text; empty where it failed, or for regressors.
        agreed: Rows for which both versions said the same.
        unit: The sticky unit; empty: the request is its own.
    """

    source: str
    offset: int
    prediction_id: str
    version: str
    route_epoch: int
    rows: int
    latency_s: float
    outcome: Answered
    compared: int = 0
    agreed: int = 0
    answers: tuple[str, ...] = ()
    unit: str = ""
    is_pinned: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowTally:
    """Counts of a version's time in shadow.

    Attributes:
        compared: Rows that both versions answered.
        reason: Of the latest failure, in words.
        latency: Of the copies that were answered.
    """

    requests: int = 0
    rows: int = 0
    failed: int = 0
    malformed: int = 0
    slow: int = 0
    compared: int = 0
    agreed: int = 0
    reason: str = ""
    latency: SlowLine = NO_LINE

    @property
    def broken(self) -> int:
        """Copies without a usable answer."""
        return self.failed + self.malformed

    @property
    def agreement(self) -> float:
        """Share of the compared rows for which both said the same, 0..1; 0 without any."""
        return self.agreed / self.compared if self.compared else 0.0


NO_SHADOW: Final = ShadowTally()


def observe(tally: ShadowTally, seen: ShadowSeen) -> ShadowTally:
    """Count one copy."""
    is_broken = seen.outcome in ("failed", "malformed")
    return ShadowTally(
        requests=tally.requests + 1,
        rows=tally.rows + seen.rows,
        failed=tally.failed + (seen.outcome == "failed"),
        malformed=tally.malformed + (seen.outcome == "malformed"),
        slow=tally.slow + (seen.outcome == "slow"),
        compared=tally.compared + seen.compared,
        agreed=tally.agreed + seen.agreed,
        reason=seen.reason or tally.reason,
        latency=tally.latency if is_broken else observe_latency(tally.latency, seen.latency_s),
    )
