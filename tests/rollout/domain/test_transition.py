from dataclasses import replace

import pytest

from services.rollout.domain.arm_tally import ArmTally, RivalTally
from services.rollout.domain.shadow import NO_SHADOW, ShadowTally
from services.rollout.domain.state_machine import Trigger
from services.rollout.domain.tally import Tally
from services.rollout.domain.transition import completed, tally_after
from tests.rollout.rollouts import NAMES, History, canary_at, contest_at, shadow_at, spoil

SEEN = Tally(
    rollout_id="r",
    step_rows=60,
    canary=ArmTally(requests=60),
    rivals=(RivalTally(version="3", arm=ArmTally(requests=40), log_ratios=(0.5,) * 7),),
    shadow=ShadowTally(requests=9),
    offsets=(("predictions/0", 7),),
)


def _after(history: History, trigger: Trigger, *, version: int | None = None) -> Tally:
    before = history.position
    history.add(trigger, version=version, weight_ppm=1)
    return tally_after(before, history.entries[-1], SEEN)


def test_a_new_rollout_counts_from_nothing() -> None:
    history = History().promote(1)
    assert _after(history, Trigger.START, version=2) == Tally(rollout_id=history.position.rollout_id)


@pytest.mark.parametrize("trigger", [Trigger.PAUSE, Trigger.RECONCILE, Trigger.ABORT])
def test_what_enters_no_step_changes_no_count(trigger: Trigger) -> None:
    assert _after(canary_at(5), trigger) is SEEN


def test_a_step_counts_its_rows_anew() -> None:
    tally = _after(canary_at(5), Trigger.STEP_PASSED)
    assert (tally.step_rows, tally.canary.requests, tally.rivals) == (0, 60, ())


def test_a_rival_that_wins_brings_its_own_counts() -> None:
    tally = _after(contest_at(10), Trigger.STEP_PASSED, version=3)
    assert (tally.canary.requests, tally.log_ratios, tally.rivals) == (40, (0.5,) * 7, ())
    assert (tally.shadow, tally.offsets) == (NO_SHADOW, SEEN.offsets)


def test_a_rival_of_which_nothing_is_known_begins_with_nothing() -> None:
    assert _after(contest_at(10, rivals=(4,)), Trigger.STEP_PASSED, version=4).canary == ArmTally()


def test_a_subject_that_wins_keeps_its_own() -> None:
    assert _after(contest_at(10), Trigger.STEP_AB).rivals == SEEN.rivals
    assert _after(contest_at(10), Trigger.STEP_PASSED).canary == SEEN.canary


def test_an_entry_in_place_says_what_the_routes_are() -> None:
    history = shadow_at(20)
    bare = spoil(history.entries[-1], trigger=Trigger.PAUSE, step=-1, mirror_ppm=0, max_mirrored_per_s=0.0)
    entry = completed(history.position, bare)
    assert (entry.step, entry.mirror_ppm, entry.max_mirrored_per_s) == (0, 200_000, 50.0)
    contest = contest_at(10)
    paused = completed(contest.position, spoil(bare, rivals=()))
    assert (paused.weight_ppm, paused.rivals) == (100_000, (NAMES[3],))
    moving = replace(bare, trigger=Trigger.STEP_PASSED)
    assert completed(history.position, moving) is moving
