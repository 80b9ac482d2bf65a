"""The way of a version to its users, as a table: what may follow on what.

More states (SHADOW, HOLD, an A/B test) are more rows; nothing else in the service knows the order.
"""

from enum import StrEnum
from typing import Final

from slipway.errors import Conflict


class State(StrEnum):
    """Where a model's latest rollout stands."""

    IDLE = "IDLE"  # no rollout yet
    WARMING = "WARMING"
    CANARY = "CANARY"
    BAKE = "BAKE"
    DONE = "DONE"
    ABORTED = "ABORTED"
    ROLLED_BACK = "ROLLED_BACK"


class Trigger(StrEnum):
    """What makes a rollout move."""

    START = "start"
    READY = "ready"
    READY_FIRST = "ready_first"  # there is no champion to share the traffic with
    READY_FULL = "ready_full"  # the spec has no canary steps: blue-green
    WARM_FAILED = "warm_failed"
    STEP_PASSED = "step_passed"
    STEPS_PASSED = "steps_passed"
    BAKED = "baked"
    GUARD_FAILED = "guard_failed"
    DEADLINE = "deadline"
    ABORT = "abort"
    ROLLBACK = "rollback"
    RESTORE = "restore"  # a rollback whose version is no longer warm
    RESTORED = "restored"
    PAUSE = "pause"  # no way up until `resume`; the way down stays open
    RESUME = "resume"
    RECONCILE = "reconcile"  # the same routes under a newer epoch


LIVE: Final = frozenset({State.WARMING, State.CANARY, State.BAKE})
RESTING: Final = frozenset(State) - LIVE
# They change neither the state nor who answers what.
IN_PLACE: Final = frozenset({Trigger.PAUSE, Trigger.RESUME, Trigger.RECONCILE})
# On the way up: what a pause stops.
UPWARD: Final = frozenset(
    {
        Trigger.READY,
        Trigger.READY_FIRST,
        Trigger.READY_FULL,
        Trigger.STEP_PASSED,
        Trigger.STEPS_PASSED,
        Trigger.BAKED,
    }
)

_RESTING_MOVES: Final = {
    (state, trigger): target
    for state in RESTING
    for trigger, target in (
        (Trigger.START, State.WARMING),
        (Trigger.RESTORE, State.WARMING),
        (Trigger.ROLLBACK, State.ROLLED_BACK),
    )
    # Before the first rollout there is nothing to return to.
    if state is not State.IDLE or trigger is Trigger.START
}
_LIVE_MOVES: Final = {
    (State.WARMING, Trigger.READY): State.CANARY,
    (State.WARMING, Trigger.READY_FIRST): State.DONE,
    (State.WARMING, Trigger.READY_FULL): State.BAKE,
    (State.WARMING, Trigger.RESTORED): State.ROLLED_BACK,
    (State.WARMING, Trigger.WARM_FAILED): State.ABORTED,
    (State.WARMING, Trigger.DEADLINE): State.ABORTED,
    (State.WARMING, Trigger.ABORT): State.ABORTED,
    (State.WARMING, Trigger.ROLLBACK): State.ABORTED,
    (State.CANARY, Trigger.STEP_PASSED): State.CANARY,
    (State.CANARY, Trigger.STEPS_PASSED): State.BAKE,
    (State.CANARY, Trigger.GUARD_FAILED): State.ABORTED,
    (State.CANARY, Trigger.DEADLINE): State.ABORTED,
    (State.CANARY, Trigger.ABORT): State.ABORTED,
    (State.CANARY, Trigger.ROLLBACK): State.ABORTED,
    (State.BAKE, Trigger.BAKED): State.DONE,
    (State.BAKE, Trigger.GUARD_FAILED): State.ROLLED_BACK,
    (State.BAKE, Trigger.DEADLINE): State.ROLLED_BACK,
    (State.BAKE, Trigger.ABORT): State.ROLLED_BACK,
    (State.BAKE, Trigger.ROLLBACK): State.ROLLED_BACK,
}
TABLE: Final[dict[tuple[State, Trigger], State]] = {
    **_RESTING_MOVES,
    **_LIVE_MOVES,
    **{(state, trigger): state for state in LIVE for trigger in (Trigger.PAUSE, Trigger.RESUME)},
    **{(state, Trigger.RECONCILE): state for state in State},
}


def next_state(state: State, trigger: Trigger) -> State:
    """The state that follows.

    Raises:
        Conflict: The table has no such row.
    """
    target = TABLE.get((state, trigger))
    if target is None:
        raise Conflict(f"a rollout in {state} cannot take `{trigger}`")
    return target
