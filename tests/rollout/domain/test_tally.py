from collections import defaultdict
from dataclasses import replace

import orjson
import pytest

from services.rollout.domain.arm_tally import ArmTally
from services.rollout.domain.evidence import NO_EVIDENCE, add_bad_event
from services.rollout.domain.policy import Policy, of_spec
from services.rollout.domain.position import START, Draw, Position
from services.rollout.domain.shadow import ShadowSeen
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.domain.tally import (
    TOLERATED_BAD_SHARE,
    Tally,
    arms_seen,
    begin_rollout,
    begin_step,
    begin_subject,
    fitted,
    is_counted,
    observe,
    observe_shadow,
    pass_over,
)
from services.rollout.domain.tally_form import (
    forgotten_filters,
    from_plain,
    new_blocks,
    to_plain,
    with_blocks,
)
from slipway import spec
from slipway.spec_sections import Rollout
from tests.rollout.domain.test_assignment import ab_position
from tests.rollout.rollouts import canary_at, contest_at, seen


def _canary() -> tuple[Position, int]:
    position = canary_at(5).position
    return position, position.epoch


def test_rows_of_both_arms_count_for_the_step() -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(1, offset=0, epoch=epoch, rows=3), position)
    tally = observe(tally, seen(2, offset=1, epoch=epoch), position)
    assert (tally.step_rows, tally.step_canary_rows) == (4, 1)
    assert (tally.champion.rows, tally.canary.rows) == (3, 1)


def test_a_record_counts_once() -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(2, offset=5, epoch=epoch, outcome="failed"), position)
    assert observe(tally, seen(2, offset=5, epoch=epoch, outcome="failed"), position) is tally
    assert observe(tally, seen(2, offset=4, epoch=epoch, outcome="failed"), position) is tally


def test_records_from_before_the_rollout_only_move_the_offset() -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(1, offset=5, epoch=epoch - 1), position)
    assert tally == Tally(rollout_id="r", offsets=(("predictions/0", 5),))


def test_a_client_that_went_away_says_nothing() -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(2, offset=5, epoch=epoch, outcome="ignored"), position)
    assert (tally.canary, tally.step_rows) == (ArmTally(), 0)


def test_after_the_rollout_nothing_is_counted() -> None:
    history = canary_at(5)
    epoch = history.position.epoch
    history.add(Trigger.ABORT)
    tally = observe(begin_rollout("r"), seen(2, offset=5, epoch=epoch), history.position)
    assert tally.canary == ArmTally()


def test_records_of_an_earlier_step_are_evidence_but_not_rows_of_this_one() -> None:
    history = canary_at(5)
    earlier = history.position.epoch
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    tally = observe(begin_rollout("r"), seen(2, offset=1, epoch=earlier, outcome="failed"), history.position)
    assert tally.step_rows == 0
    assert tally.canary.failed == 1
    # one failure at a share of 5 % weighs more than one at 25 %
    later = observe(
        begin_rollout("r"),
        seen(2, offset=1, epoch=history.position.epoch, outcome="failed"),
        history.position,
    )
    assert tally.e_value > later.e_value > 1


@pytest.mark.parametrize("outcome", ["failed", "slow", "malformed"])
def test_every_kind_of_bad_request_is_evidence(outcome: str) -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(2, offset=1, epoch=epoch, outcome=outcome), position)  # type: ignore[arg-type]
    assert tally.canary.failed + tally.canary.slow + tally.canary.malformed == 1
    assert tally.e_value > 1


def test_classes_add_up() -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(2, offset=1, epoch=epoch, classes=(("a", 2),)), position)
    tally = observe(tally, seen(2, offset=2, epoch=epoch, classes=(("a", 1), ("b", 1))), position)
    assert tally.canary.classes == (("a", 3), ("b", 1))


def _bake() -> Position:
    history = canary_at(5)
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    return history.position


def test_at_100_percent_requests_are_held_against_the_baseline() -> None:
    position = _bake()
    tally = begin_step(begin_rollout("r"), State.BAKE)
    good = observe(tally, seen(2, offset=1, epoch=position.epoch), position)
    assert good.bake_e_value < 1
    bad = observe(tally, seen(2, offset=1, epoch=position.epoch, outcome="failed"), position)
    assert bad.bake_e_value > 1


def test_a_burst_of_slow_answers_is_one_slow_second() -> None:
    position, tally = _bake(), begin_rollout("r")
    for offset in range(200):
        record = seen(2, offset=offset, epoch=position.epoch, outcome="slow", served_s=1000)
        tally = observe(tally, record, position)
    assert tally.canary.slow == 200
    assert tally.bake_e_value < 2


def test_a_version_that_is_slow_all_the_time_is_found_after_five_seconds() -> None:
    position, tally = _bake(), begin_rollout("r")
    values = []
    for offset in range(5):
        tally = observe(tally, seen(2, offset=offset, epoch=position.epoch, outcome="slow"), position)
        values.append(tally.bake_e_value)
    assert values[3] < 20 <= values[4]


def test_a_stray_answer_of_the_old_champion_is_no_evidence_at_100_percent() -> None:
    position = _bake()
    tally = observe(begin_rollout("r"), seen(1, offset=1, epoch=position.epoch, outcome="failed"), position)
    assert tally.bake_e_value == 1
    assert tally.step_rows == 1


def test_what_the_cache_answers_does_not_make_a_slow_second_a_quick_one() -> None:
    position = _bake()
    one, other = begin_rollout("r"), begin_rollout("r")
    slow = seen(2, offset=1, epoch=position.epoch, outcome="slow", served_s=7)
    cached = seen(2, offset=0, epoch=position.epoch, is_computed=False, served_s=7)
    with_cache = observe(observe(one, cached, position), slow, position)
    without = observe(other, slow, position)
    assert with_cache.slow_log_ratios == without.slow_log_ratios != one.slow_log_ratios
    assert (with_cache.canary.requests, with_cache.canary.slow) == (2, 1)


def test_the_baseline_of_the_bake_is_what_the_old_champion_showed() -> None:
    tally = Tally(champion=ArmTally(requests=98, failed=29))
    assert begin_step(tally, State.BAKE).baseline == pytest.approx(0.3)
    assert begin_step(Tally(), State.BAKE).baseline == TOLERATED_BAD_SHARE
    assert begin_step(Tally(champion=ArmTally(requests=998)), State.BAKE).baseline == TOLERATED_BAD_SHARE


def test_a_new_step_counts_its_rows_from_zero_and_keeps_the_evidence() -> None:
    tally = Tally(step_rows=60, step_canary_rows=3, canary=ArmTally(requests=3), log_ratios=(1.0,) * 7)
    fresh = begin_step(tally, State.CANARY)
    assert (fresh.step_rows, fresh.step_canary_rows) == (0, 0)
    assert (fresh.canary, fresh.log_ratios) == (tally.canary, tally.log_ratios)


def test_rivals_are_counted_apart_and_each_against_the_champion() -> None:
    position = contest_at(10).position
    tally = begin_step(begin_rollout("r"), State.AB)
    for offset, (version, outcome) in enumerate(
        [(1, "good"), (1, "failed"), (2, "good"), (3, "failed"), (3, "slow"), (2, "failed")]
    ):
        record = seen(version, offset=offset, epoch=position.epoch, outcome=outcome)  # type: ignore[arg-type]
        tally = observe(tally, record, position)
    [rival] = tally.rivals
    assert (rival.version, rival.arm.failed, rival.arm.slow) == ("3", 1, 1)
    assert (tally.canary.requests, tally.champion.requests, tally.step_rows) == (2, 2, 6)
    # of 100,000 and 800,000 a ninth falls on each of the new ones
    alone = add_bad_event(NO_EVIDENCE, is_canary=False, share=1 / 9)
    assert tally.log_ratios == pytest.approx(add_bad_event(alone, is_canary=True, share=1 / 9))
    assert from_plain(orjson.loads(orjson.dumps(to_plain(tally)))) == tally


def test_other_answers_of_the_champion_speak_against_a_canary_of_one_class() -> None:
    position, epoch = _canary()
    tally = observe(begin_rollout("r"), seen(1, offset=0, epoch=epoch, classes=(("a", 1),)), position)
    assert tally.answers.total > 0
    same = observe(tally, seen(2, offset=1, epoch=epoch, classes=(("a", 1),)), position)
    assert same.answers == tally.answers


def test_the_champions_answer_to_a_unit_speaks_once() -> None:
    position, epoch = _canary()
    tally, totals = begin_rollout("r"), []
    for offset, unit in enumerate(["u1", "u1", "u2"]):
        record = seen(1, offset=offset, epoch=epoch, classes=(("a", 1),), unit=unit)
        tally = observe(tally, record, position, policy=Policy(rollout=Rollout()))
        totals.append(tally.answers.total)
    assert totals == pytest.approx([totals[0], totals[0], 2 * totals[0]])


def test_a_tally_survives_its_way_through_json_exactly() -> None:
    position, epoch = _canary()
    tally = begin_rollout("r")
    for offset in range(10):
        record = seen(2, offset=offset, epoch=epoch, outcome="failed", classes=(("a", 1),))
        tally = observe(tally, record, position)
    assert from_plain(orjson.loads(orjson.dumps(to_plain(tally)))) == tally


POLICY = of_spec(
    spec.parse(
        """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
rollout:
  label_horizon_s: 100
  steps: [{weight_percent: 20}, {kind: ab, weight_percent: 60, metric: error_rate, better: lower}]
  rules: [{name: errors, metric: error_rate}, {name: wrong, metric: accuracy}]
"""
    )
)


def test_a_request_whose_arm_was_chosen_counts_for_nothing() -> None:
    position, epoch = _canary()
    tally = observe(
        begin_rollout("r"), seen(2, offset=5, epoch=epoch, is_pinned=True), position, policy=POLICY
    )
    assert tally == pass_over(begin_rollout("r"), "predictions/0", 5)
    assert is_counted(tally, "predictions/0", 5)
    assert not is_counted(tally, "predictions/1", 5)


def _ab_tally() -> Tally:
    """An A/B step of three new versions, with units, labels awaited and a champion that was timed."""
    position = replace(ab_position(), step=1)
    tally = fitted(begin_rollout("r"), POLICY)
    for offset in range(120):
        version, outcome = offset % 4 + 1, "failed" if offset % 7 == 0 else "good"
        record = seen(
            version,
            offset=offset,
            epoch=position.epoch,
            outcome=outcome,  # type: ignore[arg-type]
            unit=f"unit-{offset % 40}",
        )
        tally = observe(tally, record, position, policy=POLICY)
    return tally


def test_rivals_are_neither_the_canary_nor_the_champion() -> None:
    tally = _ab_tally()
    assert (tally.canary.requests, tally.champion.requests, tally.step_rows) == (30, 30, 120)
    assert list(arms_seen(tally)) == ["2", "3", "4", "1"]
    assert sum(arm.moments.count for arm in arms_seen(tally).values()) == 40
    assert tally.coverage is not None


def test_everything_survives_its_way_through_json_and_saved_blocks() -> None:
    saved: dict[str, dict[int, bytes]] = defaultdict(dict)
    tally = _ab_tally()
    assert tally.ratio is not None
    for name, at, bits in new_blocks(Tally(), tally):
        saved[name][at] = bits
    restored = with_blocks(from_plain(orjson.loads(orjson.dumps(to_plain(tally)))), saved)
    assert restored == tally
    assert list(new_blocks(tally, tally)) == []


def test_a_new_step_forgets_the_units_of_the_arms_before() -> None:
    tally = _ab_tally()
    fresh = begin_step(tally, State.CANARY)
    assert forgotten_filters(tally, fresh) == ["arms"]
    assert forgotten_filters(tally, tally) == []
    assert fresh.comparison.units == tally.comparison.units


def test_a_tally_from_before_the_rules_is_read() -> None:
    plain = to_plain(Tally(rollout_id="r", step_rows=3))
    old = {key: plain[key] for key in plain if key not in ("comparison", "shadow", "late", "history")}
    assert from_plain(old) == Tally(rollout_id="r", step_rows=3)


def _copy(offset: int, *, epoch: int, outcome: str = "good", version: str = "2") -> ShadowSeen:
    return ShadowSeen(
        source="shadow_predictions/0",
        offset=offset,
        prediction_id=f"p-{offset}",
        version=version,
        route_epoch=epoch,
        rows=2,
        latency_s=0.1,
        outcome=outcome,  # type: ignore[arg-type]
    )


def _shadow() -> Position:
    position = replace(canary_at(5).position, draws=())
    object.__setattr__(position, "state", "SHADOW")
    return position


def test_late_records_of_those_who_lost_an_ab_step_count_for_nobody() -> None:
    history = contest_at(20, rivals=(3, 4))
    contest = history.position.epoch
    history.add(Trigger.STEP_PASSED, version=4, rivals=(), step=1, weight_ppm=500_000)
    before = begin_subject(begin_rollout("r"), "4")
    for offset, loser in enumerate((2, 3)):
        late = seen(loser, offset=offset, epoch=contest, outcome="failed")
        after = observe(before, late, history.position, policy=POLICY)
        assert after == replace(before, offsets=after.offsets)


def test_a_late_record_of_the_winner_weighs_by_the_share_it_had() -> None:
    history = contest_at(20, rivals=(3, 4))
    contest = history.position.epoch
    history.add(Trigger.STEP_PASSED, version=4, rivals=(), step=1, weight_ppm=500_000)
    late = seen(4, offset=1, epoch=contest, outcome="failed")
    tally = observe(begin_rollout("r"), late, history.position)
    assert (tally.canary.failed, tally.rivals) == (1, ())
    assert tally.log_ratios == pytest.approx(add_bad_event(NO_EVIDENCE, is_canary=True, share=1 / 3))


def test_the_champion_of_a_step_without_the_winner_is_no_evidence_for_it() -> None:
    history = canary_at(5, rivals=(3,))
    earlier = history.position.epoch
    history.add(Trigger.STEP_AB, step=1, weight_ppm=200_000)
    history.add(Trigger.STEP_PASSED, version=3, rivals=(), step=2, weight_ppm=500_000)
    late = seen(1, offset=1, epoch=earlier, outcome="failed")
    tally = observe(begin_rollout("r"), late, history.position)
    assert (tally.champion.failed, tally.log_ratios) == (1, NO_EVIDENCE)


def test_rows_that_the_shadow_answered_are_the_rows_of_its_step() -> None:
    position = _shadow()
    tally = begin_rollout("r")
    for offset, outcome in enumerate(("good", "slow", "failed", "malformed")):
        tally = observe_shadow(tally, _copy(offset, epoch=position.epoch, outcome=outcome), position)
    assert (tally.step_rows, tally.step_canary_rows) == (4, 4)
    assert (tally.shadow.requests, tally.shadow.broken, tally.shadow.slow) == (4, 2, 1)
    assert observe_shadow(tally, _copy(2, epoch=position.epoch), position) is tally
    restored = from_plain(orjson.loads(orjson.dumps(to_plain(tally))))
    assert restored == tally


def test_what_the_champion_answers_meanwhile_is_no_row_of_a_step_in_shadow() -> None:
    drawn = Draw(epoch=4, new=("2",), champion="1", weight_ppm=0)
    position = replace(_shadow(), draws=(drawn,))
    tally = observe(begin_rollout("r"), seen(1, offset=1, epoch=4), position, policy=POLICY)
    assert (tally.champion.requests, tally.step_rows) == (1, 0)


def test_answers_in_shadow_of_another_version_or_rollout_are_passed_over() -> None:
    position = _shadow()
    for copy in (_copy(1, epoch=position.epoch, version="9"), _copy(1, epoch=position.step_epoch - 1)):
        assert observe_shadow(begin_rollout("r"), copy, position).shadow.requests == 0
    pinned = replace(_copy(1, epoch=position.epoch), is_pinned=True)
    assert observe_shadow(begin_rollout("r"), pinned, position).shadow.requests == 0
    assert observe_shadow(begin_rollout("r"), _copy(1, epoch=1), START).shadow.requests == 0
