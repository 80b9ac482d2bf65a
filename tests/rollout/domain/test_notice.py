from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.rollout.domain.log_entry import LogEntry, Version
from services.rollout.domain.notice import gate_notices, notices_of, opened_on
from services.rollout.domain.state_machine import State, Trigger
from slipway.spec_sections import Freeze, Notification, Rollout, Step

ALL = Notification(url="https://a/")
ENDS = Notification(url="https://b/", form="chat", on=("promoted", "taken_back"))
GATES = Notification(url="https://c/", on=("gate",))
ROLLOUT = Rollout(
    steps=(Step(weight_percent=5), Step(weight_percent=25, approval="owner")), notify=(ALL, ENDS, GATES)
)


def entry(trigger: Trigger, to_state: State, **more: Any) -> LogEntry:
    given = {"step": -1, "weight_ppm": 0, "actor": "anna", "reason": "because", **more}
    return LogEntry(
        model="m",
        seq=4,
        rollout_id="r1",
        from_state=State.CANARY,
        to_state=to_state,
        trigger=trigger,
        subject=Version(version="7", digest="d7"),
        epoch=4,
        fence=1,
        at_s=0.0,
        **given,
    )


def told(at: LogEntry) -> list[tuple[str, str]]:
    return [(notice.id, notice.kind) for notice in notices_of(at, ROLLOUT)]


def test_a_start_says_who_why_and_what_is_known_of_its_quality() -> None:
    started = entry(Trigger.START, State.WARMING, evidence={"quality": "judged"})
    [notice] = notices_of(started, ROLLOUT)
    assert (notice.id, notice.kind, notice.receiver) == ("m/4/0", "start", ALL)
    assert notice.text == "m: version 7 is being rolled out by anna: because; judged"
    assert notices_of(replace(started, evidence={}), ROLLOUT)[0].text.endswith("because")


def test_a_step_without_approval_is_a_step() -> None:
    at = entry(Trigger.READY, State.CANARY, step=0, weight_ppm=50_000)
    assert told(at) == [("m/4/0", "step")]
    assert notices_of(at, ROLLOUT)[0].text == "m: version 7 is in CANARY with 5 %: because"


def test_a_step_that_needs_a_signature_reaches_those_who_want_gates_as_well() -> None:
    at = entry(Trigger.STEP_PASSED, State.CANARY, step=1, weight_ppm=250_000)
    assert told(at) == [("m/4/0", "step"), ("m/4/2", "gate")]
    assert "needs the approval of 'owner': `slipway rollout approve m`" in notices_of(at, ROLLOUT)[0].text


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (Trigger.PAUSE, "m: version 7 does not go on: paused by anna: because"),
        (Trigger.RESUME, "m: version 7 goes on again: resumed by anna: because"),
    ],
)
def test_what_people_do_at_a_gate_is_told(trigger: Trigger, text: str) -> None:
    at = entry(trigger, State.CANARY, step=1)
    assert told(at) == [("m/4/0", "gate"), ("m/4/2", "gate")]
    assert notices_of(at, ROLLOUT)[0].text == text


@pytest.mark.parametrize(
    ("trigger", "state", "kind", "text"),
    [
        (Trigger.BAKED, State.DONE, "promoted", "m: version 7 is promoted: because"),
        (Trigger.ABORT, State.ABORTED, "taken_back", "m: version 7 is taken back (ABORTED) by anna: because"),
        (
            Trigger.ROLLBACK,
            State.ROLLED_BACK,
            "taken_back",
            "m: version 7 is taken back (ROLLED_BACK) by anna: because",
        ),
    ],
)
def test_an_end_reaches_those_who_want_ends(trigger: Trigger, state: State, kind: str, text: str) -> None:
    at = entry(trigger, state)
    assert told(at) == [("m/4/0", kind), ("m/4/1", kind)]
    assert notices_of(at, ROLLOUT)[0].text == text


def test_routes_that_are_published_again_are_no_news() -> None:
    assert told(entry(Trigger.RECONCILE, State.DONE)) == []


def test_a_step_that_the_spec_does_not_know_any_more_needs_nobody() -> None:
    assert told(entry(Trigger.STEP_PASSED, State.CANARY, step=9)) == [("m/4/0", "step")]


def test_a_gate_that_closes_by_itself_is_told_once_for_each_closing() -> None:
    last = entry(Trigger.READY, State.CANARY, step=0)
    [to_all, to_gates] = gate_notices(last, ROLLOUT, key="freeze/weekend/2026-11-21", what="does not go on")
    assert (to_all.id, to_gates.id) == (
        "m/r1/freeze/weekend/2026-11-21/0",
        "m/r1/freeze/weekend/2026-11-21/2",
    )
    assert (to_all.kind, to_all.text) == ("gate", "m: version 7 does not go on")


@pytest.mark.parametrize(
    ("window", "now", "day"),
    [
        (Freeze(name="always"), "2026-11-21T00:00", "2026-11-21"),
        (Freeze(name="weekend", days=("Sat", "Sun")), "2026-11-20T23:59", ""),
        (Freeze(name="weekend", days=("Sat", "Sun")), "2026-11-22T23:59", "2026-11-22"),
        (Freeze(name="night", start="22:30", minutes=240), "2026-11-21T02:29", "2026-11-20"),
        (Freeze(name="night", start="22:30", minutes=240), "2026-11-21T02:30", ""),
        (
            Freeze(name="fri-night", days=("Fri",), start="22:30", minutes=240),
            "2026-11-21T02:00",
            "2026-11-20",
        ),
        (Freeze(name="sat-night", days=("Sat",), start="22:30", minutes=240), "2026-11-21T02:00", ""),
    ],
)
def test_a_window_has_opened_today_or_yesterday(window: Freeze, now: str, day: str) -> None:
    assert opened_on(window, now_s=datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()) == day
