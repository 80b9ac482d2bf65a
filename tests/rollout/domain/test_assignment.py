import pytest

from services.rollout.domain.assignment import Assignment, assignment
from services.rollout.domain.position import START, Position
from services.rollout.domain.state_machine import Trigger
from tests.rollout.rollouts import canary_at, contest_at


def ab_position() -> Position:
    """Versions 2, 3 and 4 have 20 % each beside version 1."""
    return contest_at(20, rivals=(3, 4)).position


def draw(position: Position, version: int, *, epoch: int | None = None) -> Assignment | None:
    route_epoch = position.epoch if epoch is None else epoch
    return assignment(position, version=str(version), route_epoch=route_epoch)


def test_a_request_was_drawn_by_the_shares_of_its_own_routes() -> None:
    history = canary_at(5)
    earlier = history.position.epoch
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=250_000)
    old, new = draw(history.position, 2, epoch=earlier), draw(history.position, 1)
    assert old is not None
    assert new is not None
    assert (old.shares, old.is_canary, old.is_present) == ((0.05, 0.95), True, False)
    assert (new.shares, new.is_canary, new.is_present) == ((0.25, 0.75), False, True)
    assert new.share_beside_champion(0) == 0.25


def test_arms_of_an_ab_step_share_alike() -> None:
    it = draw(ab_position(), 4)
    assert it is not None
    assert it.shares == pytest.approx((0.2, 0.2, 0.2, 0.4))
    assert (it.arm, it.is_rival, it.is_canary) == (2, True, False)
    assert it.share_beside_champion(2) == pytest.approx(1 / 3)


def test_behind_an_ab_step_the_winner_was_drawn_by_the_shares_of_that_step() -> None:
    history = contest_at(20, rivals=(3, 4))
    contest = history.position.epoch
    history.add(Trigger.STEP_PASSED, version=4, rivals=(), step=1, weight_ppm=500_000)
    won, beside = draw(history.position, 4, epoch=contest), draw(history.position, 1, epoch=contest)
    assert won is not None
    assert beside is not None
    assert (won.is_canary, won.is_present) == (True, False)
    assert won.share_beside_champion(0) == pytest.approx(1 / 3)
    assert (beside.is_canary, beside.is_rival, beside.shares) == (False, False, won.shares)


def test_those_who_lost_an_ab_step_are_no_arm_of_it_any_more() -> None:
    history = contest_at(20, rivals=(3, 4))
    contest = history.position.epoch
    history.add(Trigger.STEP_PASSED, version=4, rivals=(), step=1, weight_ppm=500_000)
    assert [draw(history.position, loser, epoch=contest) for loser in (2, 3)] == [None, None]


def test_a_step_in_which_the_winner_was_no_arm_says_nothing_about_it() -> None:
    history = canary_at(5, rivals=(3,))
    earlier = history.position.epoch
    history.add(Trigger.STEP_AB, step=1, weight_ppm=200_000)
    history.add(Trigger.STEP_PASSED, version=3, rivals=(), step=2, weight_ppm=500_000)
    assert [draw(history.position, version, epoch=earlier) for version in (1, 2, 3)] == [None] * 3


def test_in_the_bake_the_champion_of_before_is_the_other_arm_of_earlier_steps() -> None:
    history = canary_at(5)
    earlier = history.position.epoch
    history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    former = draw(history.position, 1, epoch=earlier)
    assert former is not None
    assert (former.is_canary, former.versions) == (False, ("2", "1"))


def test_without_two_arms_nothing_was_drawn() -> None:
    history = canary_at(5)
    assert draw(history.position, 9) is None
    assert draw(history.position, 2, epoch=1) is None
    full = history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000)
    assert draw(full, 2) is None
    assert draw(START, 2) is None


def test_an_arm_without_any_share_is_compared_with_nobody() -> None:
    it = Assignment(shares=(0.0, 0.0), arm=0, versions=("2", "1"), is_present=True)
    assert it.share_beside_champion(0) == 0.0
