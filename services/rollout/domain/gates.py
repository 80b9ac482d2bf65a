"""What people put between a passed step and the next one: a pause, an approval, a time when nothing moves.

Gates stop a version on its way up only. Harm, an abort and a deadline pass through all of them: a rollout
that waits for a signature while it does damage is the fault that gates are known for (Flagger, issue 1801).
Evidence comes in meanwhile; a pause also stops the step's clock, and what has passed is not given up while it
waits for a signature or for the end of a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from services.rollout.domain.verdict import Outcome, Verdict
from slipway.errors import Conflict, Denied

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES: Final = 24 * 60


class RoleMissing(Denied):
    """Somebody with another role has to sign."""

    def __init__(self, problem: str, *, role: str) -> None:
        super().__init__(problem)
        self.role = role


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """A time of the week, in UTC, in which no version goes on.

    Attributes:
        days: On which it begins, as in _DAYS; empty: each day.
        from_minute: Of the day, 0..1439.
        minutes: How long it lasts, up to a day; it may reach into the next one.
    """

    name: str
    days: tuple[str, ...] = ()
    from_minute: int = 0
    minutes: int = _DAY_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What was asked of and said about the present step.

    Attributes:
        approval_role: Whose approval the step needs before the next one; empty: nobody's.
        approved_by: Who gave it; empty: nobody yet.
        paused_by: Who paused; empty: it runs.
        pause_reason: Why.
    """

    approval_role: str = ""
    approved_by: str = ""
    paused_by: str = ""
    pause_reason: str = ""


def is_frozen(window: FreezeWindow, *, now_s: float) -> bool:
    """Whether the window is open; it includes its first second and excludes the one after its last."""
    now = datetime.fromtimestamp(now_s, UTC)
    minute = now.hour * 60 + now.minute
    for days_ago, since in ((0, minute), (1, minute + _DAY_MINUTES)):
        day = _DAYS[(now.weekday() - days_ago) % 7]
        if (not window.days or day in window.days) and 0 <= since - window.from_minute < window.minutes:
            return True
    return False


def approve(gates: Gates, *, actor: str, roles: Sequence[str]) -> Gates:
    """Let the step be followed by the next one.

    Raises:
        Conflict: The step needs no approval.
        RoleMissing: The actor does not have the role.
    """
    if not gates.approval_role:
        raise Conflict("this step needs no approval: it goes on by its evidence")
    if gates.approval_role not in roles:
        problem = f"{actor} has not the role {gates.approval_role!r} whose approval this step needs"
        raise RoleMissing(problem, role=gates.approval_role)
    return replace(gates, approved_by=actor)


def closed_by(gates: Gates, windows: Sequence[FreezeWindow], *, now_s: float) -> str:
    """Which gates are closed, in words; empty: none."""
    said = []
    if gates.paused_by:
        why = f": {gates.pause_reason}" if gates.pause_reason else ""
        said.append(f"paused by {gates.paused_by}{why}")
    said += [f"freeze window {w.name!r}" for w in windows if is_frozen(w, now_s=now_s)]
    if gates.approval_role and not gates.approved_by:
        said.append(f"waits for the approval of {gates.approval_role!r}")
    return ", ".join(said)


def through_gates(
    verdict: Verdict, gates: Gates, windows: Sequence[FreezeWindow], *, now_s: float
) -> Verdict:
    """The verdict with regard to the gates: only `ADVANCE` can be held by them."""
    closed = closed_by(gates, windows, now_s=now_s)
    if verdict.outcome is not Outcome.ADVANCE or not closed:
        return verdict
    return replace(verdict, outcome=Outcome.HOLD, reason=f"{closed}; {verdict.reason}")
