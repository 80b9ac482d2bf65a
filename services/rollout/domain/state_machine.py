"""The way of a version to its users, as a table: what may follow on what.

A new kind of step is a few more rows; nothing else in the service knows the order.
"""

from enum import StrEnum
from typing import Final

from slipway.errors import Conflict


class State(StrEnum):
    """Where a model's latest rollout stands."""

    IDLE = "IDLE"  # no rollout yet
    WARMING = "WARMING"
    SHADOW = "SHADOW"  # copies of requests; no user sees an answer
    CANARY = "CANARY"
    AB = "AB"  # several new versions beside the champion
    BAKE = "BAKE"
    DONE = "DONE"
    ABORTED = "ABORTED"
    ROLLED_BACK = "ROLLED_BACK"


class Trigger(StrEnum):
    """What makes a rollout move."""

    START = "start"
    READY = "ready"
    READY_SHADOW = "ready_shadow"
    READY_AB = "ready_ab"
    READY_FIRST = "ready_first"  # there is no champion to share the traffic with
    READY_FULL = "ready_full"  # no step to pass: blue-green
    WARM_FAILED = "warm_failed"
    STEP_PASSED = "step_passed"  # the next one is a canary
    STEP_SHADOW = "step_shadow"
    STEP_AB = "step_ab"
    STEPS_PASSED = "steps_passed"
    BAKED = "baked"
    NO_WINNER = "no_winner"  # an A/B step showed no better version: inconclusive is never promoted
    GUARD_FAILED = "guard_failed"
    DEADLINE = "deadline"
    PROMOTE = "promote"  # by hand: skip what is left of the steps, or of the bake
    ABORT = "abort"
    ROLLBACK = "rollback"
    RESTORE = "restore"  # a rollback whose version is no longer warm
    RESTORED = "restored"
    PAUSE = "pause"  # no way up until `resume`; the way down stays open
    RESUME = "resume"
    APPROVE = "approve"  # the signature that the present step waits for
    RECONCILE = "reconcile"  # the same routes under a newer epoch


STEPS: Final = frozenset({State.SHADOW, State.CANARY, State.AB})
LIVE: Final = frozenset({State.WARMING, State.BAKE}) | STEPS
RESTING: Final = frozenset(State) - LIVE
BEGINNINGS: Final = frozenset({Trigger.START, Trigger.RESTORE})
# They change neither the state nor who answers what.
IN_PLACE: Final = frozenset({Trigger.PAUSE, Trigger.RESUME, Trigger.APPROVE, Trigger.RECONCILE})
READY_OF: Final = {
    State.SHADOW: Trigger.READY_SHADOW,
    State.CANARY: Trigger.READY,
    State.AB: Trigger.READY_AB,
}
STEP_OF: Final = {
    State.SHADOW: Trigger.STEP_SHADOW,
    State.CANARY: Trigger.STEP_PASSED,
    State.AB: Trigger.STEP_AB,
}
_DOWN: Final = (Trigger.DEADLINE, Trigger.ABORT, Trigger.ROLLBACK)

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
_WARMING_MOVES: Final = {
    **{(State.WARMING, trigger): target for target, trigger in READY_OF.items()},
    (State.WARMING, Trigger.READY_FIRST): State.DONE,
    (State.WARMING, Trigger.READY_FULL): State.BAKE,
    (State.WARMING, Trigger.RESTORED): State.ROLLED_BACK,
    **{(State.WARMING, trigger): State.ABORTED for trigger in (Trigger.WARM_FAILED, *_DOWN)},
}
_STEP_MOVES: Final = {
    **{(state, trigger): target for state in STEPS for target, trigger in STEP_OF.items()},
    **{
        (state, trigger): State.BAKE for state in STEPS for trigger in (Trigger.STEPS_PASSED, Trigger.PROMOTE)
    },
    **{(state, trigger): State.ABORTED for state in STEPS for trigger in (Trigger.GUARD_FAILED, *_DOWN)},
    (State.AB, Trigger.NO_WINNER): State.ABORTED,
}
_BAKE_MOVES: Final = {
    **{(State.BAKE, trigger): State.DONE for trigger in (Trigger.BAKED, Trigger.PROMOTE)},
    **{(State.BAKE, trigger): State.ROLLED_BACK for trigger in (Trigger.GUARD_FAILED, *_DOWN)},
}
TABLE: Final[dict[tuple[State, Trigger], State]] = {
    **_RESTING_MOVES,
    **_WARMING_MOVES,
    **_STEP_MOVES,
    **_BAKE_MOVES,
    **{(state, trigger): state for state in LIVE for trigger in (Trigger.PAUSE, Trigger.RESUME)},
    **{(state, Trigger.APPROVE): state for state in STEPS},
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
