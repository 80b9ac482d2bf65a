from dataclasses import replace

import pytest

from services.rollout.domain.assignment import Assignment, assignment
from services.rollout.domain.position import START, Position
from services.rollout.domain.state_machine import Trigger
from tests.rollout.rollouts import NAMES, canary_at


def ab_position() -> Position:
    """Versions 2, 3 and 4 have 20 % each beside version 1."""
    position = replace(canary_at(20).position, rivals=(NAMES[3], NAMES[4]))
    object.__setattr__(position, "state", "AB")
    return position


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
