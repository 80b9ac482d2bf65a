from dataclasses import replace

import pytest

from services.rollout.domain.arm_tally import ArmTally
from services.rollout.domain.look import explain, look
from services.rollout.domain.moment import Moment
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.shadow import ShadowTally
from services.rollout.domain.state_machine import Trigger
from services.rollout.domain.tally import Tally
from services.rollout.domain.verdict import Outcome
from slipway.spec_sections import Freeze, Rollout, Step
from tests.rollout.rollouts import History, canary_at, contest_at, shadow_at

POLICY = Policy(rollout=Rollout())
SOME = Tally(step_rows=41, step_canary_rows=3, canary=ArmTally(requests=3, rows=3, slow=1))
ENOUGH = Tally(step_rows=80, step_canary_rows=3, canary=ArmTally(requests=3, rows=3))


def _told(position: Position, tally: Tally, policy: Policy = POLICY, *, now_s: float = 0) -> str:
    return explain(position, tally, policy, Moment(now_s=now_s))


def test_a_canary_is_explained_in_words() -> None:
    assert _told(canary_at(5).position, SOME, now_s=600) == (
        "canary 5 %, wait: 41 of 60 rows, 3 of them by the new version; "
        "0 failures, 1 slow in 3 requests of it, e-value 1 of 20; "
        "next step as soon as this passes, given up in 3000 s"
    )


def test_no_traffic_is_neither_failure_nor_success() -> None:
    seen = look(canary_at(5).position, Tally(), POLICY, Moment(now_s=0))
    assert seen.verdict.outcome is Outcome.HOLD
    assert seen.verdict.reason.startswith("no data")


def _warming() -> History:
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    return history


def test_every_place_has_its_words() -> None:
    shadow = Policy(rollout=Rollout(steps=(Step(kind="shadow"),)))
    copied = replace(SOME, shadow=ShadowTally(requests=40, rows=41, failed=1, compared=40, agreed=39))
    told = _told(shadow_at(20).position, copied, shadow)
    assert told.startswith(
        "shadow 20 %, wait: 41 of 60 rows, 3 of them by the new version; 1 failures in 40 copies"
    )
    assert "97.5% of 40 rows as the champion's of it, e-value " in told
    contest = Step(kind="ab", weight_percent=50, metric="error_rate", better="lower")
    told = _told(contest_at(25).position, SOME, Policy(rollout=Rollout(steps=(contest,))))
    assert told.startswith("A/B 25 % for each of 2, wait: ")
    assert "version 3 0 in 0 of 1,000 samples" in told
    history = canary_at(5)
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    assert "bake 100 %, the old champion warm, wait: 41 of 80 rows at 100 %" in _told(history.position, SOME)
    warming = _told(_warming().position, Tally(), now_s=20)
    assert warming == "warming: waiting for its replicas, 100 s more at the most"


def test_a_closed_gate_is_told_first_and_what_would_open_it() -> None:
    history = canary_at(5)
    history.add(Trigger.PAUSE, reason="odd curve")
    assert _told(history.position, SOME).startswith("paused by test: odd curve; canary 5 %, wait: 41 of 60")
    passed = _told(history.position, ENOUGH)
    assert passed.startswith("canary 5 %, hold: paused by test: odd curve; 80 of 60 rows")
    assert passed.endswith("next step once that is lifted")
    warming = _warming()
    warming.add(Trigger.PAUSE)
    assert _told(warming.position, Tally()).startswith("paused by test: because; warming")


@pytest.mark.parametrize(("now_s", "is_closed"), [(8 * 3600 + 29 * 60, False), (8 * 3600 + 30 * 60, True)])
def test_a_freeze_window_begins_at_its_minute(now_s: float, is_closed: bool) -> None:
    frozen = Policy(rollout=Rollout(freeze=(Freeze(name="morning", start="08:30", minutes=60),)))
    seen = look(canary_at(5).position, SOME, frozen, Moment(now_s=now_s))
    assert seen.closed_by == ("freeze window 'morning'" if is_closed else "")
