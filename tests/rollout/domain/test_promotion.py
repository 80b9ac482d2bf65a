import pytest

from services.rollout.domain.moment import Moment
from services.rollout.domain.policy import Policy
from services.rollout.domain.position import START, Position
from services.rollout.domain.promotion import check_promotion, check_rivals, is_known_good, rivals_of
from services.rollout.domain.state_machine import Trigger
from slipway.errors import Conflict, Denied, InvalidInput
from slipway.spec_sections import Freeze, Rollout, Step
from tests.rollout.rollouts import NAMES, History, canary_at, shadow_at

AB = Step(kind="ab", weight_percent=20, metric="error_rate", better="lower")
CONTEST = Rollout(steps=(AB,))
CANARY = Step(weight_percent=5)
NOW = Moment(now_s=0)


def _check(
    position: Position, *steps: Step, roles: tuple[str, ...] = (), freeze: tuple[Freeze, ...] = ()
) -> None:
    check_promotion(position, Policy(rollout=Rollout(steps=steps, freeze=freeze)), roles=roles, at=NOW)


@pytest.mark.parametrize("window", [0, 1, 2, 3])
def test_recent_champions_are_known_to_be_good(window: int) -> None:
    position = History().promote(1).promote(2).promote(3).promote(4).position
    rollout = Rollout(rollback_window=window)
    good = [n for n in (1, 2, 3, 4, 5) if is_known_good(position, rollout, NAMES[n])]
    assert good == [n for n in (1, 2, 3) if n > 3 - window]


def test_a_version_that_was_taken_back_is_not_known_to_be_good() -> None:
    history = History().promote(1).promote(2)
    history.add(Trigger.ROLLBACK)
    assert not is_known_good(history.position, Rollout(rollback_window=5), NAMES[2])


def test_rivals_are_those_that_a_step_can_compare() -> None:
    position = History().promote(1).position
    named = (NAMES[1], NAMES[2], NAMES[3])
    assert rivals_of(position, CONTEST, named, subject=NAMES[2]) == (NAMES[3],)
    assert rivals_of(position, Rollout(), named, subject=NAMES[2]) == ()


def test_rivals_that_nobody_would_compare_are_refused() -> None:
    position = History().promote(1).position
    check_rivals(position, Rollout(), (), subject=NAMES[2])
    check_rivals(position, CONTEST, (NAMES[3],), subject=NAMES[2])
    with pytest.raises(InvalidInput, match="the spec has none"):
        check_rivals(position, Rollout(), (NAMES[3],), subject=NAMES[2])
    with pytest.raises(Conflict, match="need a champion"):
        check_rivals(START, CONTEST, (NAMES[3],), subject=NAMES[2])
    with pytest.raises(InvalidInput, match="version 2 is named twice"):
        check_rivals(position, CONTEST, (NAMES[2],), subject=NAMES[2])


def test_what_is_in_a_step_or_bakes_can_be_promoted() -> None:
    _check(shadow_at(20).position, Step(kind="shadow"), CANARY)
    history = canary_at(5)
    _check(history.position, CANARY)
    _check(history.add(Trigger.STEPS_PASSED, weight_ppm=1_000_000), CANARY)


def test_nothing_else_can() -> None:
    history = History().promote(1)
    with pytest.raises(Conflict, match="nothing to promote"):
        _check(history.position)
    with pytest.raises(Conflict, match="not ready yet"):
        _check(history.add(Trigger.START, version=2))


def test_nobody_promotes_in_a_freeze_window() -> None:
    with pytest.raises(Conflict, match="freeze window 'always'"):
        _check(canary_at(5).position, CANARY, freeze=(Freeze(name="always"),))


def test_a_promotion_does_not_go_past_a_signature() -> None:
    history = canary_at(5)
    owned = Step(weight_percent=25, approval="owner")
    with pytest.raises(Denied, match="'owner'"):
        _check(history.position, CANARY, owned, roles=("admin",))
    _check(history.position, CANARY, owned, roles=("owner",))
    signed = Step(weight_percent=5, approval="risk")
    with pytest.raises(Denied, match="'risk'"):
        _check(history.position, signed)
    _check(history.add(Trigger.APPROVE), signed)
