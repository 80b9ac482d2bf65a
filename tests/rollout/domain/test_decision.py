from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rollout.domain import sample_ratio
from services.rollout.domain.arm_tally import ArmTally, RivalTally
from services.rollout.domain.arms_seen import ArmSeen
from services.rollout.domain.comparison import Comparison
from services.rollout.domain.decision import Decision, decide, is_decisive, when_not_warm, when_ready
from services.rollout.domain.evidence_table import EvidenceTable, add, begin
from services.rollout.domain.moment import Moment
from services.rollout.domain.moments import NO_MOMENTS, Moments
from services.rollout.domain.moments import observe as add_value
from services.rollout.domain.observation import Outcome
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import Position
from services.rollout.domain.rule import Rule
from services.rollout.domain.rule_evidence import Measurement
from services.rollout.domain.shadow import ShadowTally
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.domain.tally import Tally, observe
from slipway.spec_sections import Freeze, Rollout, Step
from tests.rollout.rollouts import NAMES, History, canary_at, contest_at, seen, shadow_at

POLICY = Policy(rollout=Rollout(), classes=("a", "b"))
NOW = Moment(now_s=10.0)
LATE = Moment(now_s=POLICY.rollout.deadline_s + 1)
FINE = Tally(
    step_rows=1000, step_canary_rows=50, canary=ArmTally(requests=50), champion=ArmTally(requests=950)
)
HARMFUL = replace(FINE, canary=ArmTally(requests=50, failed=50))


def _policy(*steps: Step, **more: object) -> Policy:
    return Policy(rollout=Rollout.model_validate({"steps": steps, **more}), classes=("a", "b"))


def _warming() -> History:
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    return history


def _baking() -> Position:
    history = canary_at(5)
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    return history.position


def _ready(position: Position, policy: Policy = POLICY) -> Decision:
    decision = when_ready(position, policy, NOW)
    assert decision is not None
    return decision


def _decided(position: Position, tally: Tally, policy: Policy = POLICY, at: Moment = NOW) -> Decision:
    decision = decide(position, tally, policy, at)
    assert decision is not None
    return decision


def test_a_ready_version_begins_with_the_first_step() -> None:
    decision = _ready(_warming().position)
    assert (decision.trigger, decision.step, decision.weight_ppm) == (Trigger.READY, 0, 50_000)


def test_a_first_version_needs_no_canary() -> None:
    history = History()
    history.add(Trigger.START, version=1)
    assert _ready(history.position).trigger is Trigger.READY_FIRST


@pytest.mark.parametrize("steps", [(), (Step(kind="blue_green"),)], ids=["no steps", "blue-green"])
def test_nothing_to_pass_means_all_requests_at_once(steps: tuple[Step, ...]) -> None:
    decision = _ready(_warming().position, _policy(*steps))
    assert (decision.trigger, decision.weight_ppm, decision.step) == (Trigger.READY_FULL, 1_000_000, -1)


def test_a_first_step_may_be_a_shadow_or_a_contest() -> None:
    shadow = _ready(_warming().position, _policy(Step(kind="shadow", mirror_percent=20)))
    assert (shadow.trigger, shadow.weight_ppm, shadow.mirror_ppm) == (Trigger.READY_SHADOW, 0, 200_000)
    history = History().promote(1)
    history.add(Trigger.START, version=2, rivals=(NAMES[3],))
    contest = _ready(history.position, _policy(AB))
    assert (contest.trigger, contest.weight_ppm, contest.rivals) == (Trigger.READY_AB, 250_000, (NAMES[3],))


def test_a_warm_former_champion_is_restored_whatever_gate_is_closed() -> None:
    history = History().promote(1).promote(2).promote(3)
    history.add(Trigger.ROLLBACK)
    history.add(Trigger.RESTORE, version=1)
    history.add(Trigger.PAUSE)
    assert _ready(history.position, _policy(freeze=(Freeze(name="always"),))).trigger is Trigger.RESTORED


def test_a_recent_champion_skips_the_steps() -> None:
    history = History().promote(1).promote(2)
    history.add(Trigger.START, version=1, evidence={"skips_steps": True})
    decision = _ready(history.position, _policy(Step(weight_percent=5), rollback_window=1))
    assert decision.trigger is Trigger.READY_FULL
    assert "it was champion lately (rollback_window 1)" in decision.reason


def test_warming_has_its_deadline_and_says_what_was_missing() -> None:
    deadline_s = POLICY.rollout.warm_deadline_s
    assert when_not_warm(POLICY, since_s=deadline_s, waiting_for="x") is None
    late = when_not_warm(POLICY, since_s=deadline_s + 1, waiting_for="its replicas are LOADING")
    assert late is not None
    assert late.trigger is Trigger.DEADLINE
    assert "its replicas are LOADING" in late.reason


def test_a_step_ends_when_enough_rows_were_served_by_both_arms() -> None:
    position = canary_at(5, quality="the gate has judged its quality").position
    assert decide(position, Tally(step_rows=59, step_canary_rows=3), POLICY, NOW) is None
    passed = _decided(position, Tally(step_rows=60, step_canary_rows=3))
    assert (passed.trigger, passed.step, passed.weight_ppm) == (Trigger.STEP_PASSED, 1, 250_000)
    assert "no evidence of harm" in passed.reason
    assert "the gate has judged its quality" in passed.reason
    assert passed.evidence["findings"][0]["standing"] == "clear"


def test_a_step_in_which_the_canary_never_answered_is_not_passed() -> None:
    position = canary_at(5).position
    assert decide(position, Tally(step_rows=600), POLICY, NOW) is None
    without_rows = _policy(Step(weight_percent=5, min_rows=0))
    assert _decided(position, Tally(), without_rows).trigger is Trigger.STEPS_PASSED


def test_the_last_step_leads_to_all_requests() -> None:
    history = canary_at(5)
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    passed = _decided(history.position, Tally(step_rows=60, step_canary_rows=1))
    assert (passed.trigger, passed.weight_ppm) == (Trigger.STEPS_PASSED, 1_000_000)


def test_a_step_lasts_at_least_its_dwell() -> None:
    slow = _policy(Step(weight_percent=5, dwell_s=30))
    assert decide(canary_at(5).position, FINE, slow, Moment(now_s=29)) is None
    assert _decided(canary_at(5).position, FINE, slow, Moment(now_s=30)).trigger is Trigger.STEPS_PASSED


def test_a_shadow_that_answered_soundly_goes_on_and_one_that_did_not_goes_back() -> None:
    policy, position = _policy(Step(kind="shadow"), Step(weight_percent=5)), shadow_at(100).position
    assert decide(position, Tally(), policy, NOW) is None
    sound = replace(FINE, shadow=ShadowTally(requests=50, rows=50))
    passed = _decided(position, sound, policy)
    assert (passed.trigger, passed.weight_ppm) == (Trigger.STEP_PASSED, 50_000)
    broken = replace(FINE, shadow=ShadowTally(requests=5, malformed=5, reason="NaN"))
    harm = _decided(position, broken, policy)
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "every one of its 5 copies failed: 0 failures, 5 malformed in 5 copies (NaN)" in harm.reason


def test_evidence_of_harm_takes_the_canary_back() -> None:
    position = canary_at(5).position
    tally = Tally()
    for offset in range(3):
        good = seen(2, offset=2 * offset, epoch=position.epoch)
        bad = seen(2, offset=2 * offset + 1, epoch=position.epoch, outcome="malformed")
        tally = observe(observe(tally, good, position), bad, position)
    harm = _decided(position, tally)
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "3 malformed in 6 requests" in harm.reason
    assert "reached 20" in harm.reason
    assert harm.evidence["canary"]["malformed"] == 3


def test_the_bake_ends_after_its_rows() -> None:
    position = _baking()
    assert decide(position, Tally(step_rows=79), POLICY, NOW) is None
    assert _decided(position, Tally(step_rows=80)).trigger is Trigger.BAKED


def test_three_failures_at_once_end_the_bake() -> None:
    position, tally = _baking(), Tally()
    for offset in range(2):
        tally = observe(tally, seen(2, offset=offset, epoch=position.epoch, outcome="failed"), position)
    assert decide(position, tally, POLICY, NOW) is None
    tally = observe(tally, seen(2, offset=2, epoch=position.epoch, outcome="failed"), position)
    harm = _decided(position, tally)
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "tolerated 5.0% failures" in harm.reason


def test_a_warming_version_is_not_judged_by_counts() -> None:
    assert decide(_warming().position, Tally(step_rows=1000), POLICY, LATE) is None


@pytest.mark.parametrize(
    ("position", "text"),
    [(canary_at(5).position, "0 of 60 rows"), (_baking(), "0 of 80 rows at 100 %")],
    ids=["canary", "bake"],
)
def test_a_step_without_enough_rows_is_held_then_given_up(position: Position, text: str) -> None:
    assert decide(position, Tally(), POLICY, NOW) is None
    late = _decided(position, Tally(), at=LATE)
    assert late.trigger is Trigger.DEADLINE
    assert text in late.reason
    assert "no pass" in late.reason


def test_a_step_may_have_a_deadline_of_its_own() -> None:
    hasty = _policy(Step(weight_percent=5, deadline_s=5))
    assert _decided(canary_at(5).position, Tally(), hasty).trigger is Trigger.DEADLINE


def _paused(history: History, *, at_s: float = 0.0) -> Position:
    return history.add(Trigger.PAUSE, at_s=at_s)


def test_a_paused_version_does_not_go_up() -> None:
    assert when_ready(_paused(_warming()), POLICY, NOW) is None
    canary = canary_at(5)
    assert decide(canary.position, FINE, POLICY, NOW) is not None
    assert decide(_paused(canary), FINE, POLICY, NOW) is None
    bake = canary_at(5)
    bake.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    assert decide(_paused(bake), FINE, POLICY, NOW) is None


def test_a_pause_stops_the_clock_of_the_step() -> None:
    assert decide(_paused(canary_at(5)), Tally(), POLICY, LATE) is None


def test_a_step_waits_for_its_signature_and_longer_than_its_deadline() -> None:
    owned = _policy(Step(weight_percent=5, approval="owner"))
    history = canary_at(5)
    assert decide(history.position, FINE, owned, LATE) is None
    assert _decided(history.add(Trigger.APPROVE), FINE, owned, LATE).trigger is Trigger.STEPS_PASSED
    assert history.position.approved_by == "test"


def test_a_signature_is_for_one_step() -> None:
    history = canary_at(5)
    history.add(Trigger.APPROVE)
    assert history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000).approved_by == ""


def test_in_a_freeze_window_nothing_goes_up_but_a_bake_may_end() -> None:
    frozen = _policy(Step(weight_percent=5), freeze=(Freeze(name="night", start="00:00", minutes=60),))
    night, day = Moment(now_s=3599), Moment(now_s=3600)
    assert when_ready(_warming().position, frozen, night) is None
    assert decide(canary_at(5).position, FINE, frozen, night) is None
    assert decide(canary_at(5).position, FINE, frozen, day) is not None
    assert _decided(_baking(), FINE, frozen, night).trigger is Trigger.BAKED


@pytest.mark.parametrize("gate", ["pause", "freeze", "approval"])
def test_harm_passes_through_every_gate(gate: str) -> None:
    history = canary_at(5)
    freeze = (Freeze(name="always"),) if gate == "freeze" else ()
    policy = _policy(Step(weight_percent=5, approval="owner" if gate == "approval" else ""), freeze=freeze)
    if gate == "pause":
        _paused(history)
    assert _decided(history.position, HARMFUL, policy).trigger is Trigger.GUARD_FAILED


NO_TABLE = EvidenceTable()
ERRORS = Rule(name="errors", metric="error_rate", min_samples=20)
RULED = Policy(rollout=Rollout(steps=(Step(weight_percent=50, min_rows=10),)), rules=(ERRORS,))


def _seen(*, table: EvidenceTable = NO_TABLE, arms: tuple[ArmSeen, ...] = ()) -> Tally:
    ratio = sample_ratio.begin((0.5, 0.5))
    return replace(FINE, comparison=Comparison(table=table, arms=arms, ratio=ratio))


def _table(requests: int, *, canary_fails: bool = False) -> EvidenceTable:
    table = begin([ERRORS])
    for at in range(requests):
        is_canary = at % 2 == 0
        value = float(is_canary and canary_fails)
        table = add(table, ERRORS, Measurement(value=value, is_canary=is_canary, share=0.5))
    return table


def test_every_rule_must_pass_and_the_rows_be_there() -> None:
    position = canary_at(50).position
    assert decide(position, _seen(table=_table(30)), RULED, NOW) is None
    passed = _decided(position, _seen(table=_table(40)), RULED)
    assert passed.trigger is Trigger.STEPS_PASSED
    assert "errors: 20 of 20 requests" in passed.reason
    too_few = replace(_seen(table=_table(40)), step_rows=9)
    assert decide(position, too_few, RULED, NOW) is None


def test_a_guardrail_takes_the_version_back() -> None:
    harm = _decided(canary_at(50).position, _seen(table=_table(40, canary_fails=True)), RULED)
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "errors" in harm.reason


def test_a_rule_without_data_is_given_up_at_the_deadline() -> None:
    late = _decided(canary_at(50).position, _seen(table=_table(0)), RULED, LATE)
    assert late.trigger is Trigger.DEADLINE
    assert "errors: 0 of 20 requests" in late.reason


AB = Step(kind="ab", weight_percent=50, metric="error_rate", better="lower", min_samples=100, min_rows=10)
CONTEST = _policy(AB, Step(weight_percent=80))


def _failing(share: float) -> Moments:
    moments = NO_MOMENTS
    for at in range(100):
        moments = add_value(moments, float(at < share * 100))
    return moments


def _contest(**shares: float) -> Tally:
    return _seen(arms=tuple(ArmSeen(version=v[1:], moments=_failing(share)) for v, share in shares.items()))


def test_the_winner_of_a_contest_goes_on_alone() -> None:
    passed = _decided(contest_at(25).position, _contest(v1=0.5, v2=0.4, v3=0.1), CONTEST)
    assert (passed.trigger, passed.subject, passed.rivals) == (Trigger.STEP_PASSED, NAMES[3], ())
    assert passed.weight_ppm == 800_000
    assert "version 3 is better" in passed.reason


def test_the_last_contest_leads_to_all_requests() -> None:
    passed = _decided(contest_at(25).position, _contest(v1=0.5, v2=0.1, v3=0.5), _policy(AB))
    assert (passed.trigger, passed.subject) == (Trigger.STEPS_PASSED, NAMES[2])


def test_a_contest_without_a_winner_is_never_promoted() -> None:
    ended = _decided(contest_at(25).position, _contest(v1=0.3, v2=0.3, v3=0.29), CONTEST)
    assert ended.trigger is Trigger.NO_WINNER
    assert "inconclusive is no pass" in ended.reason


def test_a_contest_without_its_samples_is_given_up() -> None:
    position = contest_at(25).position
    assert decide(position, FINE, CONTEST, NOW) is None
    assert _decided(position, FINE, CONTEST, LATE).trigger is Trigger.DEADLINE


def test_an_open_contest_ends_at_its_deadline() -> None:
    policy = _policy(AB.model_copy(update={"analysis": "sequential"}))
    position, tally = contest_at(25).position, _contest(v1=0.3, v2=0.3, v3=0.29)
    assert decide(position, tally, policy, NOW) is None
    assert _decided(position, tally, policy, LATE).trigger is Trigger.NO_WINNER


def test_harm_by_any_arm_of_a_contest_takes_all_back() -> None:
    failing = RivalTally(version="3", arm=ArmTally(requests=5, failed=5))
    harm = _decided(contest_at(25).position, replace(FINE, rivals=(failing,)), CONTEST)
    assert harm.trigger is Trigger.GUARD_FAILED
    assert "version 3: every one of its 5 requests failed" in harm.reason
    assert harm.evidence["rivals"]["3"]["failed"] == 5


answers = st.tuples(
    st.sampled_from((1, 2)),
    st.sampled_from(("good", "good", "good", "slow", "failed", "malformed", "ignored")),
    st.sampled_from(((), (("0", 1),), (("1", 1),), (("0", 1), ("1", 2)))),
    st.booleans(),
)


@pytest.mark.parametrize(
    "position",
    [canary_at(5).position, canary_at(100).position, shadow_at(20).position, _baking()],
    ids=["5 %", "100 %", "shadow", "bake"],
)
@given(run=st.lists(answers, min_size=1, max_size=60), min_rows=st.sampled_from((0, 30, 1000)))
def test_where_no_look_is_needed_a_look_finds_nothing(
    position: Position, run: list[tuple[int, Outcome, tuple[tuple[str, int], ...], bool]], min_rows: int
) -> None:
    policy = _policy(
        Step(weight_percent=5, min_rows=min_rows),
        Step(weight_percent=25, min_rows=min_rows),
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
        decision = decide(position, tally, policy, NOW)
        if was_looked_at and not is_decisive(observation, position, tally, policy):
            assert decision is None
        if decision:
            return  # the position moves on, and the next record is looked at anyway
        was_looked_at = True


def test_rules_and_contests_are_looked_at_by_the_clock() -> None:
    good = seen(2, offset=1, epoch=1)
    assert not is_decisive(good, canary_at(50).position, FINE, RULED)
    assert not is_decisive(good, contest_at(25).position, FINE, CONTEST)
    bad = seen(2, offset=1, epoch=1, outcome="failed")
    assert is_decisive(bad, contest_at(25).position, FINE, CONTEST)
    assert contest_at(25).position.state is State.AB
