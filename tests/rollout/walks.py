"""Ways through the state machine that together take every row of its table that can be taken.

They are made from the table, so that a new state is walked through as soon as it stands there.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.rollout.domain.log_entry import WHOLE_PPM
from services.rollout.domain.position import START
from services.rollout.domain.state_machine import (
    BEGINNINGS,
    IN_PLACE,
    READY_OF,
    RESTING,
    STEP_OF,
    TABLE,
    State,
    Trigger,
)
from tests.rollout.rollouts import History

Row = tuple[State, Trigger]

VERBS: Final = (Trigger.PAUSE, Trigger.RESUME, Trigger.PROMOTE, Trigger.APPROVE)  # each a verb of that name
# The kind of the step that a trigger enters.
KIND_OF: Final = {trigger: state.lower() for ways in (READY_OF, STEP_OF) for state, trigger in ways.items()}
# What a pause stops.
_UPWARD: Final = frozenset(
    {*KIND_OF, Trigger.READY_FULL, Trigger.READY_FIRST, Trigger.STEPS_PASSED, Trigger.BAKED}
)
# Where harm and deadlines have a step to themselves: nothing was counted before, and no clock runs twice.
_FRESH: Final = frozenset({*BEGINNINGS, *READY_OF.values(), Trigger.READY_FULL})
_NEVER: Final = frozenset(
    {
        (State.IDLE, Trigger.RECONCILE),  # a model without a log has no routes to compare
        (State.DONE, Trigger.RESTORE),  # who is done has its predecessor warm, or has none
        (State.ROLLED_BACK, Trigger.ROLLBACK),  # the way back has used the warm one up
        (State.CANARY, Trigger.STEP_SHADOW),  # a spec has its shadow steps before users are answered
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One transition of a walk."""

    state: State
    trigger: Trigger
    is_new: bool  # no walk has taken this row before

    def __str__(self) -> str:
        return f"{self.state}.{self.trigger}"


Walk = tuple[Stop, ...]


def unreachable(row: Row) -> bool:
    """Rows that no model comes to."""
    return row in _NEVER


def find_walks(*, longest: int = 12) -> list[Walk]:
    """Walks from the beginning of a model, each of at most so many transitions."""
    left = {row for row in TABLE if not unreachable(row)}
    walks: list[Walk] = []
    while walk := _walk(left, longest):
        walks.append(walk)
    return walks


def rollouts_of(walk: Walk) -> Iterator[Walk]:
    """The walk cut where a rollout, or a restore, begins."""
    begins = [at for at, stop in enumerate(walk) if stop.trigger in (Trigger.START, Trigger.RESTORE)]
    for begin, end in zip(begins, [*begins[1:], len(walk)], strict=True):
        yield walk[begin:end]


def _walk(left: set[Row], longest: int) -> Walk:
    stops: list[Stop] = []
    triggers: tuple[Trigger, ...] = ()
    while more := _shortest_way(triggers, left, longest=longest):
        for trigger in more:
            row = (replay(triggers).position.state, trigger)
            stops.append(Stop(state=row[0], trigger=trigger, is_new=row in left))
            left.discard(row)
            triggers += (trigger,)
    return tuple(stops)


def _shortest_way(begin: tuple[Trigger, ...], left: set[Row], *, longest: int) -> tuple[Trigger, ...]:
    """The fewest further triggers that take a row which is left."""
    waiting, seen = deque([begin]), set[object]()
    while waiting:
        triggers = waiting.popleft()
        history = replay(triggers)
        for trigger in Trigger:
            if len(triggers) >= longest or not _is_possible(history, triggers, trigger):
                continue
            if (history.position.state, trigger) in left:
                return (*triggers, trigger)[len(begin) :]
            further = (*triggers, trigger)
            place = _place(further)
            if place not in seen:
                seen.add(place)
                waiting.append(further)
    return ()


def _place(triggers: tuple[Trigger, ...]) -> object:
    """What tells positions apart, as far as the next trigger is concerned."""
    it = replay(triggers).position
    has = (
        it.champion is None,
        it.standby is None,
        min(2, len(it.previous)),
        it.is_restore,
        bool(it.paused_by),
        bool(it.approved_by),
    )
    return it.state, has, _last_move(triggers), _has_canary(triggers)


def _last_move(triggers: tuple[Trigger, ...]) -> Trigger | None:
    return next((t for t in reversed(triggers) if t not in IN_PLACE), None)


def _has_canary(triggers: tuple[Trigger, ...]) -> bool:
    """Whether the latest rollout has answered users."""
    begin = max((at for at, t in enumerate(triggers) if t in (Trigger.START, Trigger.RESTORE)), default=0)
    return any(KIND_OF.get(trigger) == "canary" for trigger in triggers[begin:])


def _is_possible(history: History, triggers: tuple[Trigger, ...], trigger: Trigger) -> bool:
    """What the handlers, the clock and the records allow, beside the table."""
    it = history.position
    row = (it.state, trigger)
    if row not in TABLE or unreachable(row):
        return False
    is_warm = it.champion is not None and not it.is_restore and not it.paused_by
    conditions: dict[Trigger, bool] = {
        Trigger.RECONCILE: it != START,
        Trigger.READY: is_warm,
        Trigger.READY_SHADOW: is_warm,
        Trigger.READY_AB: is_warm,
        Trigger.STEP_SHADOW: not it.paused_by and not _has_canary(triggers),
        Trigger.NO_WINNER: not it.paused_by and _last_move(triggers) in (Trigger.READY_AB, Trigger.STEP_AB),
        Trigger.READY_FULL: is_warm,
        Trigger.READY_FIRST: it.champion is None and not it.paused_by,
        Trigger.RESTORED: it.is_restore and not it.paused_by,
        Trigger.RESTORE: bool(it.previous) and it.standby is None,
        Trigger.ROLLBACK: it.state not in RESTING or it.standby is not None,
        Trigger.PAUSE: not it.paused_by,
        Trigger.RESUME: bool(it.paused_by),
        Trigger.APPROVE: not it.approved_by and not it.paused_by,
        Trigger.DEADLINE: not it.paused_by and _last_move(triggers) in _FRESH,
        Trigger.GUARD_FAILED: _last_move(triggers) in _FRESH,
    }
    return conditions.get(trigger, not (trigger in _UPWARD and it.paused_by))


@cache
def replay(triggers: tuple[Trigger, ...]) -> History:
    """The log that these triggers lead to, its latest entry; each start is of a version of its own."""
    history = History()
    if not triggers:
        return history
    before, trigger = replay(triggers[:-1]), triggers[-1]
    history.entries, history.position = before.entries[-1:], before.position
    version: int | None = None
    if trigger is Trigger.START:
        version = triggers.count(Trigger.START)
    elif trigger is Trigger.RESTORE:
        version = int(before.position.previous[-1].version)
    kind = KIND_OF.get(trigger)
    step = before.position.step + 1 if kind else -1
    weight_ppm = 0 if kind == "shadow" else WHOLE_PPM // 2 + step if kind else WHOLE_PPM
    history.add(trigger, version=version, step=step, weight_ppm=weight_ppm)
    return history
