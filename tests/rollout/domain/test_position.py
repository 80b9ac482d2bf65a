import pytest

from services.rollout.domain.position import KEPT_CHAMPIONS, START, Draw, apply, fold
from services.rollout.domain.route_table import fold_routes, routes_of
from services.rollout.domain.state_machine import State, Trigger
from slipway.errors import Conflict
from tests.rollout.rollouts import NAMES, History, canary_at, contest_at, shadow_at, spoil


def _roles(history: History) -> dict[str, tuple[str, int]]:
    return {a.version.version: (a.role, a.weight_ppm) for a in routes_of(history.position).arms}


def test_a_model_without_a_rollout_has_no_arms() -> None:
    assert routes_of(START).arms == ()


def test_the_first_version_takes_everything_once_it_is_ready() -> None:
    history = History()
    history.add(Trigger.START, version=1)
    assert _roles(history) == {"1": ("warming", 0)}
    history.add(Trigger.READY_FIRST, weight_ppm=1_000_000)
    assert _roles(history) == {"1": ("champion", 1_000_000)}
    assert (history.position.rollouts, history.position.promoted) == (1, 1)


def test_a_canary_grows_bakes_and_leaves_the_old_champion_warm() -> None:
    history = canary_at(5)
    assert _roles(history) == {"2": ("canary", 50_000), "1": ("champion", 950_000)}
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    assert _roles(history) == {"2": ("canary", 250_000), "1": ("champion", 750_000)}
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    assert _roles(history) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}
    history.add(Trigger.BAKED, weight_ppm=1_000_000)
    assert history.position.state is State.DONE
    assert _roles(history) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}
    assert history.position.draws == ()


def test_the_canary_stands_first_so_that_a_growing_share_moves_no_unit_back() -> None:
    assert [a.role for a in routes_of(canary_at(5).position).arms] == ["canary", "champion"]


def test_the_standby_stays_warm_until_the_next_rollout_bakes() -> None:
    history = History().promote(1).promote(2)
    history.add(Trigger.START, version=3)
    assert _roles(history) == {"2": ("champion", 1_000_000), "1": ("standby", 0), "3": ("warming", 0)}
    history.add(Trigger.READY_FULL, weight_ppm=1_000_000)
    assert _roles(history) == {"3": ("champion", 1_000_000), "2": ("standby", 0)}


def test_a_harmful_bake_gives_everything_back_at_once() -> None:
    history = canary_at(5)
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    history.add(Trigger.GUARD_FAILED)
    assert history.position.state is State.ROLLED_BACK
    assert _roles(history) == {"1": ("champion", 1_000_000)}
    assert history.position.rolled_back == 1


def test_an_aborted_canary_leaves_the_champion_and_its_standby() -> None:
    history = History().promote(1).promote(2)
    history.add(Trigger.START, version=3)
    history.add(Trigger.READY, step=0, weight_ppm=50_000)
    history.add(Trigger.ABORT)
    assert _roles(history) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}


def test_rollback_after_done_makes_the_standby_champion() -> None:
    history = History().promote(1).promote(2)
    history.add(Trigger.ROLLBACK)
    assert _roles(history) == {"1": ("champion", 1_000_000)}
    assert history.position.previous == ()


def test_a_second_rollback_warms_the_version_before_first() -> None:
    history = History().promote(1).promote(2).promote(3)
    history.add(Trigger.ROLLBACK)
    assert history.position.standby is None
    history.add(Trigger.RESTORE, version=1)
    assert _roles(history) == {"2": ("champion", 1_000_000), "1": ("warming", 0)}
    history.add(Trigger.RESTORED)
    assert _roles(history) == {"1": ("champion", 1_000_000)}
    assert history.position.rollouts == 3


def test_the_standby_may_be_rolled_out_again() -> None:
    history = History().promote(1).promote(2)
    history.add(Trigger.START, version=1)
    assert _roles(history) == {"2": ("champion", 1_000_000), "1": ("warming", 0)}
    history.add(Trigger.READY, step=0, weight_ppm=50_000)
    assert _roles(history) == {"1": ("canary", 50_000), "2": ("champion", 950_000)}


def test_a_reconciled_table_is_the_same_under_a_newer_epoch() -> None:
    history = canary_at(5)
    arms, step_epoch = routes_of(history.position).arms, history.position.step_epoch
    history.add(Trigger.RECONCILE)
    assert routes_of(history.position).arms == arms
    assert history.position.step_epoch == step_epoch
    assert history.position.draws[-1] == Draw(
        epoch=history.position.epoch, new=("2",), champion="1", weight_ppm=50_000
    )
    resting = History().promote(1)
    resting.add(Trigger.RECONCILE)
    assert resting.position.draws == ()


def test_only_so_many_former_champions_are_kept() -> None:
    history = History()
    for version in range(1, KEPT_CHAMPIONS + 5):
        history.promote(version)
    assert len(history.position.previous) == KEPT_CHAMPIONS
    assert history.position.previous[-1] == NAMES[KEPT_CHAMPIONS + 3]


def test_each_rollout_shuffles_the_units_anew() -> None:
    history = History().promote(1)
    first = history.position.salt
    history.add(Trigger.START, version=2)
    assert history.position.salt != first


def test_replay_of_the_log_leads_to_the_same_place() -> None:
    history = canary_at(5)
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    history.add(Trigger.ABORT)
    assert fold(history.entries) == history.position
    assert fold_routes(history.entries) == routes_of(history.position)


@pytest.mark.parametrize(
    "changes", [{"seq": 9}, {"epoch": 1}, {"from_state": State.BAKE}, {"to_state": State.DONE}]
)
def test_a_broken_log_is_refused(changes: dict[str, object]) -> None:
    history = canary_at(5)
    last = history.entries[-1]
    with pytest.raises(Conflict, match="does not follow"):
        fold([*history.entries[:-1], spoil(last, **changes)])


def test_there_is_no_way_back_from_the_first_version() -> None:
    history = History().promote(1)
    entry = spoil(
        history.entries[-1],
        seq=3,
        epoch=3,
        from_state=State.DONE,
        to_state=State.ROLLED_BACK,
        trigger=Trigger.ROLLBACK,
    )
    with pytest.raises(Conflict, match="no former champion"):
        apply(history.position, entry)


def test_a_pause_changes_no_route_and_lasts_until_it_is_lifted() -> None:
    history = canary_at(5)
    before = routes_of(history.position)
    paused = history.add(Trigger.PAUSE, at_s=10.0)
    assert routes_of(paused).arms == before.arms
    assert (paused.paused_by, paused.step, paused.weight_ppm) == ("test", 0, 50_000)
    assert history.add(Trigger.PAUSE, at_s=20.0).paused_at_s == 10.0
    resumed = history.add(Trigger.RESUME, at_s=40.0)
    assert (resumed.paused_by, resumed.entered_at_s) == ("", 30.0)
    assert history.add(Trigger.RESUME, at_s=50.0).entered_at_s == 30.0


def test_requests_of_the_epochs_of_a_pause_still_count_at_their_share() -> None:
    history = canary_at(5)
    step_epoch = history.position.step_epoch
    paused = history.add(Trigger.PAUSE)
    drawn = paused.draw_at(paused.epoch)
    assert drawn is not None
    assert drawn.weight_ppm == 50_000
    assert paused.step_epoch == step_epoch


def test_a_pause_ends_with_its_rollout() -> None:
    history = canary_at(5)
    history.add(Trigger.PAUSE)
    assert history.add(Trigger.ABORT).paused_by == ""
    history.add(Trigger.START, version=3)
    assert history.position.paused_by == ""


def test_a_version_in_shadow_answers_nobody() -> None:
    shadow, champion = routes_of(shadow_at(20).position).arms[1], routes_of(shadow_at(20).position).arms[0]
    assert (champion.role, champion.weight_ppm) == ("champion", 1_000_000)
    assert (shadow.role, shadow.weight_ppm, shadow.mirror_ppm) == ("shadow", 0, 200_000)
    assert shadow.max_mirrored_per_s == 50.0


def test_only_a_shadow_is_mirrored_to() -> None:
    history = shadow_at(20)
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=50_000)
    assert (history.position.mirror_ppm, history.position.max_mirrored_per_s) == (0, 0.0)
    assert _roles(history) == {"2": ("canary", 50_000), "1": ("champion", 950_000)}


def test_rivals_are_kept_ready_until_their_step_and_then_have_equal_shares() -> None:
    history = History().promote(1)
    history.add(Trigger.START, version=2, rivals=(NAMES[10], NAMES[3]))
    assert _roles(history)["10"] == ("warming", 0)
    history.add(Trigger.READY, step=0, weight_ppm=50_000)
    assert _roles(history)["3"] == ("warming", 0)
    history.add(Trigger.STEP_AB, step=1, weight_ppm=100_000)
    arms = [(a.version.version, a.role, a.weight_ppm) for a in routes_of(history.position).arms]
    assert arms == [
        ("2", "canary", 100_000),
        ("3", "rival", 100_000),
        ("10", "rival", 100_000),
        ("1", "champion", 700_000),
    ]


def test_the_winner_becomes_the_subject_and_the_losers_leave() -> None:
    history = contest_at(10)
    history.add(Trigger.STEP_PASSED, version=3, rivals=(), step=1, weight_ppm=500_000)
    assert _roles(history) == {"3": ("canary", 500_000), "1": ("champion", 500_000)}
    last = contest_at(10)
    last.add(Trigger.STEPS_PASSED, version=3, rivals=(), weight_ppm=1_000_000)
    assert _roles(last) == {"3": ("champion", 1_000_000), "1": ("standby", 0)}
    last.add(Trigger.ROLLBACK)
    assert _roles(last) == {"1": ("champion", 1_000_000)}


def test_a_promotion_by_hand_lifts_the_pause_and_a_bake_may_be_cut_short() -> None:
    history = canary_at(5)
    history.add(Trigger.PAUSE)
    promoted = history.add(Trigger.PROMOTE, weight_ppm=1_000_000)
    assert (promoted.state, promoted.paused_by, promoted.champion) == (State.BAKE, "", NAMES[2])
    assert history.add(Trigger.PROMOTE, weight_ppm=1_000_000).state is State.DONE


def test_a_rollout_remembers_whose_policy_it_follows_until_it_ends() -> None:
    history = History().promote(1)
    history.add(Trigger.START, version=2, spec_revision=7)
    assert history.add(Trigger.READY, step=0, weight_ppm=1).spec_revision == 7
    assert history.add(Trigger.ABORT).spec_revision == 0
