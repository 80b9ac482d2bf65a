import orjson
import pytest

from services.rollout.domain.position import Position
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.domain.tally import (
    TOLERATED_BAD_SHARE,
    ArmTally,
    Tally,
    begin_rollout,
    begin_step,
    observe,
)
from services.rollout.domain.tally_form import from_plain, to_plain
from tests.rollout.rollouts import canary_at, seen


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


def test_a_tally_survives_its_way_through_json_exactly() -> None:
    position, epoch = _canary()
    tally = begin_rollout("r")
    for offset in range(10):
        record = seen(2, offset=offset, epoch=epoch, outcome="failed", classes=(("a", 1),))
        tally = observe(tally, record, position)
    assert from_plain(orjson.loads(orjson.dumps(to_plain(tally)))) == tally
