"""Are both arms labelled alike? Labels that come late or not at all may be the bad ones.

Requests are grouped by when they were served. A group is judged once, when its youngest request is as old
as the horizon: by then each arm had the same time to get its labels. What is younger counts for no arm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final

from services.rollout.domain.betting import log_mean_exp
from slipway.errors import InvalidInput

RATIOS: Final = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
# Both directions: which arm lacks labels is not known beforehand.
_ODDS: Final = (*RATIOS, *(1 / ratio for ratio in RATIOS))
MAX_OPEN: Final = 400
FINEST: Final = 100  # cohorts within a horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCoverage:
    """Requests of one arm and how many got a label within the horizon."""

    served: int = 0
    labelled: int = 0

    @property
    def share(self) -> float:
        """Labelled share, 0..1; 0 without requests."""
        return self.labelled / self.served if self.served else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Requests of one span of time under one share.

    Attributes:
        index: floor(served at / width).
        share: The canary's share of the assignments.
    """

    index: int
    share: float
    canary: ArmCoverage = ArmCoverage()
    champion: ArmCoverage = ArmCoverage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Open cohorts, and what the closed ones showed.

    Attributes:
        width_s: Span of a cohort.
        horizon_s: Age at which a request's label is due.
        log_missing: log E per odds, on requests whose label did not come.
        log_labelled: log E per odds, on requests whose label came.
        closed_index: Of the youngest closed cohort: what belongs to it or an older one comes too late.
    """

    width_s: float
    horizon_s: float
    open: tuple[Cohort, ...] = ()
    canary: ArmCoverage = ArmCoverage()
    champion: ArmCoverage = ArmCoverage()
    log_missing: tuple[float, ...] = (0.0,) * len(_ODDS)
    log_labelled: tuple[float, ...] = (0.0,) * len(_ODDS)
    closed_index: int = -1

    @property
    def log_e_value(self) -> float:
        """Evidence that the arms are not labelled alike."""
        return log_mean_exp((*self.log_missing, *self.log_labelled))

    @property
    def gap(self) -> float:
        """The canary's labelled share minus the champion's."""
        return self.canary.share - self.champion.share


def begin(*, width_s: float, horizon_s: float) -> Coverage:
    """Nothing counted yet.

    Raises:
        InvalidInput: A width that is not positive, or below a hundredth of the horizon.
    """
    if not width_s > 0 or not 0 <= horizon_s <= width_s * FINEST:
        raise InvalidInput(
            f"a width of {width_s} s and a horizon of {horizon_s} s: the width must be > 0, "
            f"the horizon >= 0 and at most {FINEST} widths"
        )
    return Coverage(width_s=width_s, horizon_s=horizon_s)


def of_horizon(horizon_s: float) -> Coverage:
    """Nothing counted yet, in the finest cohorts that the horizon allows."""
    return begin(width_s=horizon_s / FINEST * (1 + 1e-9), horizon_s=horizon_s)


def is_matured(served_at_s: float, *, now_s: float, horizon_s: float) -> bool:
    """Whether a request is old enough for its label to count."""
    return now_s - served_at_s >= horizon_s


def add_served(
    coverage: Coverage, served_at_s: float, *, is_canary: bool, share: float, requests: int = 1
) -> Coverage:
    """Count requests that wait for their labels; beyond MAX_OPEN cohorts a new one counts for no arm."""
    return _add(coverage, served_at_s, is_canary=is_canary, share=share, more=ArmCoverage(served=requests))


def add_labelled(
    coverage: Coverage, served_at_s: float, *, is_canary: bool, share: float, labels: int = 1
) -> Coverage:
    """Count first labels of requests; those that come after their cohort was closed change nothing.

    A label may be read a moment before the record of its request.
    """
    return _add(coverage, served_at_s, is_canary=is_canary, share=share, more=ArmCoverage(labelled=labels))


def close_matured(coverage: Coverage, *, now_s: float) -> Coverage:
    """Judge every cohort whose youngest request has reached the horizon.

    Formula: per odds r and event (label missing, label there), with s the canary's share of the cohort's
        requests: log E += canary events * ln(r) - all events * ln(1 - s + s r): whichever way labels are
        lost, without regard to the arm they fall on the canary with probability s.
    Source: Lindon, Malek, Anytime-Valid Inference for Multinomial Count Data, NeurIPS 2022, section 4.
    """
    closed = tuple(
        c
        for c in coverage.open
        if is_matured((c.index + 1) * coverage.width_s, now_s=now_s, horizon_s=coverage.horizon_s)
    )
    if not closed:
        return coverage
    for cohort in closed:
        coverage = _close(coverage, cohort)
    still_open = tuple(c for c in coverage.open if c not in closed)
    newest = max(coverage.closed_index, *(c.index for c in closed))
    return replace(coverage, open=still_open, closed_index=newest)


def _add(
    coverage: Coverage, served_at_s: float, *, is_canary: bool, share: float, more: ArmCoverage
) -> Coverage:
    index = int(served_at_s // coverage.width_s)
    if index <= coverage.closed_index:
        return coverage
    cohorts = coverage.open
    # Most requests belong to one of the youngest cohorts, which stand last.
    for at in range(len(cohorts) - 1, -1, -1):
        if cohorts[at].index == index and cohorts[at].share == share:
            changed = _with(cohorts[at], more, is_canary=is_canary)
            return replace(coverage, open=(*cohorts[:at], changed, *cohorts[at + 1 :]))
    if len(cohorts) >= MAX_OPEN:
        return coverage
    cohort = _with(Cohort(index=index, share=share), more, is_canary=is_canary)
    return replace(coverage, open=tuple(sorted((*cohorts, cohort), key=lambda c: (c.index, c.share))))


def _with(cohort: Cohort, more: ArmCoverage, *, is_canary: bool) -> Cohort:
    if is_canary:
        return replace(cohort, canary=_sum(cohort.canary, more))
    return replace(cohort, champion=_sum(cohort.champion, more))


def _sum(one: ArmCoverage, other: ArmCoverage) -> ArmCoverage:
    return ArmCoverage(served=one.served + other.served, labelled=one.labelled + other.labelled)


def _close(coverage: Coverage, cohort: Cohort) -> Coverage:
    canary, champion = _whole(cohort.canary), _whole(cohort.champion)
    missing = (canary.served - canary.labelled, champion.served - champion.labelled)
    return replace(
        coverage,
        canary=_sum(coverage.canary, canary),
        champion=_sum(coverage.champion, champion),
        log_missing=_bets(coverage.log_missing, missing, share=cohort.share),
        log_labelled=_bets(coverage.log_labelled, (canary.labelled, champion.labelled), share=cohort.share),
    )


def _whole(arm: ArmCoverage) -> ArmCoverage:
    """Without the labels of requests whose own record never came."""
    return ArmCoverage(served=arm.served, labelled=min(arm.labelled, arm.served))


def _bets(log_e: Sequence[float], events: tuple[int, int], *, share: float) -> tuple[float, ...]:
    if not 0 < share < 1:
        return tuple(log_e)
    canary, champion = events
    return tuple(
        total + canary * log(r) - (canary + champion) * log(1 - share + share * r)
        for total, r in zip(log_e, _ODDS, strict=True)
    )
