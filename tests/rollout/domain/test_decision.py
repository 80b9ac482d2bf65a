from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rollout.domain.decision import (
    Decision,
    decide,
    decide_overdue,
    is_decisive,
    weight_of,
    when_not_warm,
    when_ready,
)
from services.rollout.domain.explanation import explain
from services.rollout.domain.harm import harm_of_canary
from services.rollout.domain.observation import Outcome
from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.domain.tally import ArmTally, Tally, observe
from slipway.spec_sections import Rollout, Step
from tests.rollout.rollouts import History, canary_at, seen

POLICY = Rollout()


def _warming() -> History:
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    return history


def _baking() -> Position:
    history = canary_at(5)
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    return history.position


def _ready(position: Position, policy: Rollout = POLICY) -> Decision:
    decision = when_ready(position, policy)
    assert decision is not None
    return decision


def test_a_ready_version_begins_with_the_first_step() -> None:
    decision = _ready(_warming().position)
    assert (decision.trigger, decision.step, decision.weight_ppm) == (Trigger.READY, 0, 50_000)


def test_a_first_version_needs_no_canary() -> None:
    history = History()
    history.add(Trigger.START, version=1)
    assert _ready(history.position).trigger is Trigger.READY_FIRST


def test_no_steps_mean_blue_green() -> None:
    assert _ready(_warming().position, Rollout(steps=())).trigger is Trigger.READY_FULL


def test_a_warm_former_champion_is_restored() -> None:
    history = History().promote(1).promote(2).promote(3)
    history.add(Trigger.ROLLBACK)
    history.add(Trigger.RESTORE, version=1)
    assert _ready(history.position).trigger is Trigger.RESTORED


def test_a_share_is_never_rounded_to_nothing() -> None:
    assert weight_of(Rollout(steps=(Step(weight_percent=1e-9),)), 0) == 1


def test_warming_has_its_deadline_and_says_what_was_missing() -> None:
    assert when_not_warm(POLICY, since_s=POLICY.warm_deadline_s, waiting_for="x") is None
    late = when_not_warm(POLICY, since_s=POLICY.warm_deadline_s + 1, waiting_for="its replicas are LOADING")
    assert late is not None
    assert late.trigger is Trigger.DEADLINE
    assert "its replicas are LOADING" in late.reason


def test_a_step_ends_when_enough_rows_were_served_by_both_arms() -> None:
    position = canary_at(5, quality="the gate has judged its quality").position
    assert decide(position, Tally(step_rows=59, step_canary_rows=3), POLICY) is None
    passed = decide(position, Tally(step_rows=60, step_canary_rows=3), POLICY)
    assert passed is not None
    assert (passed.trigger, passed.step, passed.weight_ppm) == (Trigger.STEP_PASSED, 1, 250_000)
    assert "no evidence of harm" in passed.reason
    assert "the gate has judged its quality" in passed.reason


def test_a_step_in_which_the_canary_never_answered_is_not_passed() -> None:
    position = canary_at(5).position
    assert decide(position, Tally(step_rows=600), POLICY) is None
    without_rows = Rollout(steps=(Step(weight_percent=5, min_rows=0),))
    passed = decide(position, Tally(), without_rows)
    assert passed is not None
    assert passed.trigger is Trigger.STEPS_PASSED


def test_the_last_step_leads_to_all_requests() -> None:
    history = canary_at(5)
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    passed = decide(history.position, Tally(step_rows=60, step_canary_rows=1), POLICY)
    assert passed is not None
    assert (passed.trigger, passed.weight_ppm) == (Trigger.STEPS_PASSED, 1_000_000)


def test_a_step_that_the_spec_no_longer_has_is_passed() -> None:
    history = canary_at(5)
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    passed = decide(history.position, Tally(), Rollout(steps=(Step(weight_percent=5),)))
    assert passed is not None
    assert passed.trigger is Trigger.STEPS_PASSED


def test_five_failures_of_five_need_no_statistics() -> None:
    # at a share of 90 % failures of the canary are hardly evidence against chance
    four, five = (Tally(canary=ArmTally(requests=n, failed=n)) for n in (4, 5))
    assert not harm_of_canary(four, alpha=0.05)
    assert "every one of its 5 requests failed" in harm_of_canary(five, alpha=0.05)


def test_slow_answers_alone_are_left_to_the_comparison() -> None:
    assert not harm_of_canary(Tally(canary=ArmTally(requests=5, slow=5)), alpha=0.05)


def test_evidence_of_harm_takes_the_canary_back() -> None:
    position = canary_at(5).position
    tally = Tally()
    for offset in range(3):
        good = seen(2, offset=2 * offset, epoch=position.epoch)
        bad = seen(2, offset=2 * offset + 1, epoch=position.epoch, outcome="malformed")
        tally = observe(observe(tally, good, position), bad, position)
    harm = decide(position, tally, POLICY)
    assert harm is not None
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "3 malformed in 6 requests" in harm.reason
    assert "reached 20" in harm.reason
    assert harm.evidence["canary"]["malformed"] == 3


def _classes(canary: int, *, champion: tuple[tuple[str, int], ...]) -> Tally:
    return Tally(
        canary=ArmTally(requests=canary, rows=canary, classes=(("a", canary),)),
        champion=ArmTally(requests=50, rows=50, classes=champion),
    )


def test_a_canary_that_answers_one_class_only_is_taken_back() -> None:
    mixed = (("a", 25), ("b", 25))
    assert not harm_of_canary(_classes(9, champion=mixed), alpha=0.05)
    assert "all its 11 answers are 'a'" in harm_of_canary(_classes(11, champion=mixed), alpha=0.05)


@pytest.mark.parametrize(
    "champion", [(("a", 50),), (("a", 10), ("b", 10)), (("a", 49), ("b", 1))], ids=["same", "few", "rare"]
)
def test_one_class_is_no_harm_where_the_champion_is_no_different(
    champion: tuple[tuple[str, int], ...],
) -> None:
    assert not harm_of_canary(_classes(40, champion=champion), alpha=0.05)


def test_a_canary_of_two_classes_is_no_single_class() -> None:
    tally = Tally(
        canary=ArmTally(classes=(("a", 500), ("b", 1))), champion=ArmTally(classes=(("a", 25), ("b", 25)))
    )
    assert not harm_of_canary(tally, alpha=0.05)


def test_the_bake_ends_after_its_rows() -> None:
    position = _baking()
    assert decide(position, Tally(step_rows=79), POLICY) is None
    done = decide(position, Tally(step_rows=80), POLICY)
    assert done is not None
    assert done.trigger is Trigger.BAKED


def test_three_failures_at_once_end_the_bake() -> None:
    position, tally = _baking(), Tally()
    for offset in range(2):
        tally = observe(tally, seen(2, offset=offset, epoch=position.epoch, outcome="failed"), position)
    assert decide(position, tally, POLICY) is None
    tally = observe(tally, seen(2, offset=2, epoch=position.epoch, outcome="failed"), position)
    harm = decide(position, tally, POLICY)
    assert harm is not None
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "tolerated 5.0% failures" in harm.reason


def test_a_warming_version_is_not_judged_by_counts() -> None:
    assert decide(_warming().position, Tally(step_rows=1000), POLICY) is None


@pytest.mark.parametrize(
    ("position", "text"),
    [(canary_at(5).position, "0 of 60 rows"), (_baking(), "0 of 80 rows at 100 %")],
    ids=["canary", "bake"],
)
def test_a_step_without_enough_rows_is_held_then_given_up(position: Position, text: str) -> None:
    assert decide_overdue(position, Tally(), POLICY, since_s=POLICY.deadline_s) is None
    late = decide_overdue(position, Tally(), POLICY, since_s=POLICY.deadline_s + 1)
    assert late is not None
    assert late.trigger is Trigger.DEADLINE
    assert text in late.reason


def test_nothing_is_overdue_while_warming() -> None:
    assert decide_overdue(_warming().position, Tally(), POLICY, since_s=1e9) is None


def test_a_canary_is_explained_in_words() -> None:
    tally = Tally(step_rows=41, step_canary_rows=3, canary=ArmTally(requests=3, rows=3, slow=1))
    text = explain(canary_at(5).position, tally, POLICY)
    assert text == (
        "canary at 5 %: 41 of 60 rows, 3 of them by the canary; "
        "0 failures, 1 slow in 3 requests of it, e-value 1 of 20; next: 25 %"
    )


def test_the_last_step_says_that_all_requests_come_next() -> None:
    history = canary_at(5)
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    assert explain(history.position, Tally(), POLICY).endswith("next: 100 %")
    gone = replace(history.position, step=7)
    assert "0 of 0 rows" in explain(gone, Tally(), POLICY)


def test_warming_and_baking_are_explained() -> None:
    assert explain(_warming().position, Tally(), POLICY).startswith("warming")
    assert "12 of 80 rows" in explain(_baking(), Tally(step_rows=12), POLICY)
    assert _baking().state is State.BAKE


FINE = Tally(
    step_rows=1000, step_canary_rows=50, canary=ArmTally(requests=50), champion=ArmTally(requests=950)
)
HARMFUL = replace(FINE, canary=ArmTally(requests=50, failed=50))


def _paused(history: History, *, at_s: float = 0.0) -> Position:
    return history.add(Trigger.PAUSE, at_s=at_s)


def test_a_paused_version_does_not_go_up() -> None:
    assert when_ready(_paused(_warming()), POLICY) is None
    canary = canary_at(5)
    assert decide(canary.position, FINE, POLICY) is not None
    assert decide(_paused(canary), FINE, POLICY) is None
    bake = canary_at(5)
    bake.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    assert decide(_paused(bake), FINE, POLICY) is None


def test_harm_takes_a_paused_version_back() -> None:
    decision = decide(_paused(canary_at(5)), HARMFUL, POLICY)
    assert decision is not None
    assert decision.trigger is Trigger.GUARD_FAILED


def test_a_restored_champion_does_not_wait_for_a_pause() -> None:
    history = History().promote(1).promote(2).promote(3)
    history.add(Trigger.ROLLBACK)
    history.add(Trigger.RESTORE, version=1)
    assert _ready(_paused(history)).trigger is Trigger.RESTORED


def test_a_pause_stops_the_clock_of_the_step() -> None:
    position = _paused(canary_at(5))
    assert decide_overdue(position, Tally(), POLICY, since_s=2 * POLICY.deadline_s) is None


def test_a_pause_is_told_first() -> None:
    assert explain(_paused(canary_at(5)), FINE, POLICY).startswith("paused by test; canary at 5 %")


answers = st.tuples(
    st.sampled_from((1, 2)),
    st.sampled_from(("good", "good", "good", "slow", "failed", "malformed", "ignored")),
    st.sampled_from(((), (("0", 1),), (("1", 1),), (("0", 1), ("1", 2)))),
    st.booleans(),
)


@pytest.mark.parametrize(
    "position",
    [canary_at(5).position, canary_at(100).position, _baking(), replace(canary_at(5).position, step=2)],
    ids=["5 %", "100 %", "bake", "steps gone"],
)
@given(run=st.lists(answers, min_size=1, max_size=60), min_rows=st.sampled_from((0, 30, 1000)))
def test_where_no_look_is_needed_a_look_finds_nothing(
    position: Position, run: list[tuple[int, Outcome, tuple[tuple[str, int], ...], bool]], min_rows: int
) -> None:
    policy = Rollout(
        steps=(Step(weight_percent=5, min_rows=min_rows), Step(weight_percent=25, min_rows=min_rows)),
        bake_rows=min_rows,
    )
    tally, was_looked_at = Tally(), False
    for offset, (version, outcome, classes, is_computed) in enumerate(run):
        observation = seen(
            version,
            offset=offset,
            epoch=position.epoch,
            outcome=outcome,
            is_computed=is_computed,
            served_s=offset // 3,
            classes=classes,
        )
        tally = observe(tally, observation, position)
        decision = decide(position, tally, policy)
        if was_looked_at and not is_decisive(observation, position, tally, policy):
            assert decision is None
        if decision:
            return  # the position moves on, and the next record is looked at anyway
        was_looked_at = True
