import pytest

from services.rollout.domain.moment import Moment, clock_of, elapsed_s
from services.rollout.domain.policy import Policy
from services.rollout.domain.state_machine import Trigger
from slipway.spec_sections import Rollout, Step
from tests.rollout.rollouts import History, canary_at

POLICY = Policy(
    rollout=Rollout(
        steps=(Step(weight_percent=5, dwell_s=60), Step(weight_percent=25, deadline_s=90)),
        deadline_s=600,
        warm_deadline_s=30,
    )
)


def test_a_step_lasts_from_its_entry_but_only_while_somebody_watches() -> None:
    position = canary_at(5).position
    assert elapsed_s(position, Moment(now_s=100)) == 100
    assert elapsed_s(position, Moment(now_s=100, watched_from_s=80)) == 20
    assert elapsed_s(position, Moment(now_s=-5)) == 0


def test_a_pause_stops_the_clock_and_resume_lets_it_go_on() -> None:
    history = canary_at(5)
    paused = history.add(Trigger.PAUSE, at_s=40)
    assert elapsed_s(paused, Moment(now_s=1000)) == 40
    resumed = history.add(Trigger.RESUME, at_s=1000)
    assert elapsed_s(resumed, Moment(now_s=1010)) == 50


def test_each_step_has_its_dwell_and_its_deadline() -> None:
    history = canary_at(5)
    clock = clock_of(history.position, POLICY, Moment(now_s=50))
    assert (clock.dwell_left_s, clock.deadline_left_s) == (10, 550)
    second = history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000, at_s=100)
    clock = clock_of(second, POLICY, Moment(now_s=150))
    assert (clock.dwell_left_s, clock.deadline_left_s) == (-50, 40)


def test_warming_and_the_bake_have_theirs() -> None:
    history = History().promote(1)
    warming = history.add(Trigger.START, version=2)
    assert clock_of(warming, POLICY, Moment(now_s=10)).deadline_left_s == 20
    bake = history.add(Trigger.READY_FULL, weight_ppm=1_000_000)
    assert clock_of(bake, POLICY, Moment(now_s=10)).deadline_left_s == pytest.approx(590)
