from datetime import UTC, datetime

import pytest

from services.rollout.domain.gates import (
    FreezeWindow,
    Gates,
    approve,
    closed_by,
    is_frozen,
    through_gates,
)
from services.rollout.domain.verdict import Outcome, Verdict
from slipway.errors import Conflict, Denied

OPEN = Gates()
NIGHT = FreezeWindow(name="night", from_minute=22 * 60, minutes=8 * 60)
WEEKEND = FreezeWindow(name="weekend", days=("Sat", "Sun"))


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("when", "frozen"),
    [
        ("2026-11-20T21:59:59", False),
        ("2026-11-20T22:00:00", True),
        ("2026-11-21T05:59:59", True),  # the night of the day before
        ("2026-11-21T06:00:00", False),
    ],
)
def test_a_window_may_reach_into_the_next_day(when: str, frozen: bool) -> None:
    assert is_frozen(NIGHT, now_s=at(when)) is frozen


@pytest.mark.parametrize(
    ("when", "frozen"),
    [
        ("2026-11-20T23:59:59", False),  # a Friday
        ("2026-11-21T00:00:00", True),
        ("2026-11-22T23:59:59", True),
        ("2026-11-23T00:00:00", False),
    ],
)
def test_a_window_has_its_days(when: str, frozen: bool) -> None:
    assert is_frozen(WEEKEND, now_s=at(when)) is frozen


def test_an_approval_is_given_by_its_role() -> None:
    gated = Gates(approval_role="owner")
    assert closed_by(gated, (), now_s=0) == "waits for the approval of 'owner'"
    with pytest.raises(Denied, match="bob has not the role 'owner'"):
        approve(gated, actor="bob", roles=("operator",))
    approved = approve(gated, actor="ann", roles=("operator", "owner"))
    assert closed_by(approved, (), now_s=0) == ""


def test_what_needs_no_approval_cannot_be_approved() -> None:
    with pytest.raises(Conflict, match="needs no approval"):
        approve(OPEN, actor="ann", roles=("owner",))


def test_closed_gates_hold_a_version_that_could_go_on() -> None:
    ready = Verdict(outcome=Outcome.ADVANCE, reason="errors proven", findings=())
    paused = Gates(paused_by="ann", pause_reason="odd curve")
    held = through_gates(ready, paused, (WEEKEND,), now_s=at("2026-11-21T12:00:00"))
    assert held.outcome is Outcome.HOLD
    assert held.reason == "paused by ann: odd curve, freeze window 'weekend'; errors proven"
    assert through_gates(ready, OPEN, (WEEKEND,), now_s=at("2026-11-23T12:00:00")) is ready


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.ADVANCE])
def test_nothing_but_the_way_up_is_stopped_by_gates(outcome: Outcome) -> None:
    verdict = Verdict(outcome=outcome, reason="r", findings=())
    closed = Gates(approval_role="owner", paused_by="ann")
    assert through_gates(verdict, closed, (FreezeWindow(name="always"),), now_s=0) is verdict
