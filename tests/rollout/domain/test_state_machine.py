import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rollout.domain.log_entry import WHOLE_PPM
from services.rollout.domain.position import START
from services.rollout.domain.route_table import fold_routes, routes_of
from services.rollout.domain.state_machine import (
    LIVE,
    RESTING,
    STEPS,
    TABLE,
    State,
    Trigger,
    next_state,
)
from slipway.errors import Conflict
from tests.rollout.rollouts import NAMES, History

DOWN = (Trigger.DEADLINE, Trigger.ABORT, Trigger.ROLLBACK)
EXPECTED = {
    **{(s, Trigger.START): State.WARMING for s in RESTING},
    **{(s, Trigger.RESTORE): State.WARMING for s in RESTING - {State.IDLE}},
    **{(s, Trigger.ROLLBACK): State.ROLLED_BACK for s in RESTING - {State.IDLE}},
    **{(s, Trigger.RECONCILE): s for s in State},
    **{(s, t): s for s in LIVE for t in (Trigger.PAUSE, Trigger.RESUME)},
    **{(s, Trigger.APPROVE): s for s in STEPS},
    (State.WARMING, Trigger.READY): State.CANARY,
    (State.WARMING, Trigger.READY_SHADOW): State.SHADOW,
    (State.WARMING, Trigger.READY_AB): State.AB,
    (State.WARMING, Trigger.READY_FIRST): State.DONE,
    (State.WARMING, Trigger.READY_FULL): State.BAKE,
    (State.WARMING, Trigger.RESTORED): State.ROLLED_BACK,
    **{(s, Trigger.STEP_PASSED): State.CANARY for s in STEPS},
    **{(s, Trigger.STEP_SHADOW): State.SHADOW for s in STEPS},
    **{(s, Trigger.STEP_AB): State.AB for s in STEPS},
    **{(s, t): State.BAKE for s in STEPS for t in (Trigger.STEPS_PASSED, Trigger.PROMOTE)},
    (State.BAKE, Trigger.BAKED): State.DONE,
    (State.BAKE, Trigger.PROMOTE): State.DONE,
    **{(State.WARMING, t): State.ABORTED for t in (Trigger.WARM_FAILED, *DOWN)},
    **{(s, t): State.ABORTED for s in STEPS for t in (Trigger.GUARD_FAILED, *DOWN)},
    (State.AB, Trigger.NO_WINNER): State.ABORTED,
    **{(State.BAKE, t): State.ROLLED_BACK for t in (Trigger.GUARD_FAILED, *DOWN)},
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_move_is_as_expected_or_refused(state: State, trigger: Trigger) -> None:
    if (state, trigger) in EXPECTED:
        assert next_state(state, trigger) is EXPECTED[state, trigger]
    else:
        with pytest.raises(Conflict, match=f"{state} cannot take `{trigger}`"):
            next_state(state, trigger)


@pytest.mark.parametrize("trigger", [Trigger.ABORT, Trigger.ROLLBACK])
@pytest.mark.parametrize("state", sorted(LIVE))
def test_an_abort_or_a_rollback_is_legal_in_every_live_state_and_ends_it(
    state: State, trigger: Trigger
) -> None:
    assert next_state(state, trigger) in RESTING


def test_the_table_has_no_other_rows() -> None:
    assert TABLE == EXPECTED


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(Trigger), st.integers(1, 4), st.integers(1, WHOLE_PPM // 3)), max_size=60
    )
)
def test_any_sequence_of_triggers_keeps_the_routes_whole(moves: list[tuple[Trigger, int, int]]) -> None:
    history = History()
    for trigger, version, weight_ppm in moves:
        before = history.position
        if not _is_possible(history, trigger, version):
            continue
        subject = before.previous[-1] if trigger is Trigger.RESTORE else None
        number = int(subject.version) if subject else version
        history.add(
            trigger,
            version=number if trigger in (Trigger.START, Trigger.RESTORE) else None,
            weight_ppm=weight_ppm,
            rivals=(NAMES[5], NAMES[6]) if trigger is Trigger.START else before.rivals,
        )
        routes = routes_of(history.position)
        serving = WHOLE_PPM if history.position.champion else 0
        assert sum(arm.weight_ppm for arm in routes.arms) == serving
        assert all(arm.weight_ppm >= 0 for arm in routes.arms)
        assert routes.epoch > before.epoch
        versions = [arm.version for arm in routes.arms]
        assert len(versions) == len(set(versions))
        if history.position.is_live:
            next_state(history.position.state, Trigger.ABORT)
    assert fold_routes(history.entries) == routes_of(history.position)
    if history.position.is_live:
        champion = history.position.champion if history.position.state is not State.BAKE else None
        history.add(Trigger.ABORT)
        assert not history.position.is_live
        if champion:
            assert history.position.champion == champion


def _is_possible(history: History, trigger: Trigger, version: int) -> bool:
    """What the handlers see to before they move."""
    position = history.position
    if (position.state, trigger) not in TABLE or (position == START and trigger is not Trigger.START):
        return False
    champion = position.champion
    if trigger is Trigger.START:
        return champion is None or champion.version != str(version)
    if trigger in (Trigger.READY, Trigger.READY_SHADOW, Trigger.READY_AB, Trigger.READY_FULL):
        return champion is not None and not position.is_restore
    if trigger is Trigger.READY_FIRST:
        return champion is None
    if trigger is Trigger.RESTORED:
        return position.is_restore
    if trigger is Trigger.RESTORE:
        return bool(position.previous) and position.standby is None
    if trigger is Trigger.ROLLBACK and not position.is_live:
        return position.standby is not None
    return True
