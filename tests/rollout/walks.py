"""Ways through the state machine that together take every row of its table that can be taken.

They are made from the table, so that a new state is walked through as soon as it stands there.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.rollout.domain.position import START
from services.rollout.domain.state_machine import IN_PLACE, RESTING, TABLE, State, Trigger
from services.rollout.rpc import RolloutControl
from slipway.v1.rollout_pb2_grpc import RolloutControlServicer
from tests.rollout.rollouts import History

Row = tuple[State, Trigger]

WHOLE_PPM: Final = 1_000_000
VERBS: Final = ("pause", "resume", "promote", "approve")  # triggers that are a verb of the same name
# By their names, since a table may have no such rows: the kind of the step that a trigger enters.
KIND_OF: Final = {
    "ready": "canary",
    "step_passed": "canary",
    "ready_shadow": "shadow",
    "step_shadow": "shadow",
    "ready_ab": "ab",
    "step_ab": "ab",
}
# What a pause stops.
_UPWARD: Final = frozenset({*KIND_OF, "ready_full", "ready_first", "steps_passed", "baked"})
# Where harm and deadlines have a step to themselves: nothing was counted before, and no clock runs twice.
_FRESH: Final = frozenset({"start", "restore", "ready", "ready_shadow", "ready_ab", "ready_full"})
_NEVER: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        (State.IDLE, Trigger.RECONCILE),  # a model without a log has no routes to compare
        (State.DONE, Trigger.RESTORE),  # who is done has its predecessor warm, or has none
        (State.ROLLED_BACK, Trigger.ROLLBACK),  # the way back has used the warm one up
        ("CANARY", "step_shadow"),  # a spec has its shadow steps before users are answered
    }
)
_CAUSED: Final = frozenset(
    {
        *KIND_OF,
        *("start", "restore", "restored", "ready_first", "ready_full", "warm_failed"),
        *("steps_passed", "baked", "no_winner", "guard_failed", "deadline"),
        *("abort", "rollback", "reconcile"),
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


def is_served(verb: str) -> bool:
    """Whether the service answers the RPC of this name."""
    name = verb.capitalize()
    return getattr(RolloutControl, name, None) is not getattr(RolloutControlServicer, name)


def unreachable(row: Row) -> bool:
    """Rows that no model comes to, verbs that nobody serves yet, and signatures: they need a named role."""
    _, trigger = row
    return row in _NEVER or trigger == "approve" or (trigger in VERBS and not is_served(trigger))


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
    if row not in TABLE or unreachable(row) or (trigger not in _CAUSED and trigger not in VERBS):
        return False
    is_warm = it.champion is not None and not it.is_restore and not it.paused_by
    by_name: dict[str, bool] = {
        Trigger.RECONCILE: it != START,
        Trigger.READY: is_warm,
        "ready_shadow": is_warm,
        "ready_ab": is_warm,
        "step_shadow": not it.paused_by and not _has_canary(triggers),
        "no_winner": not it.paused_by and _last_move(triggers) in ("ready_ab", "step_ab"),
        Trigger.READY_FULL: is_warm,
        Trigger.READY_FIRST: it.champion is None and not it.paused_by,
        Trigger.RESTORED: it.is_restore and not it.paused_by,
        Trigger.RESTORE: bool(it.previous) and it.standby is None,
        Trigger.ROLLBACK: it.state not in RESTING or it.standby is not None,
        Trigger.PAUSE: not it.paused_by,
        Trigger.RESUME: bool(it.paused_by),
        Trigger.DEADLINE: not it.paused_by and _last_move(triggers) in _FRESH,
        Trigger.GUARD_FAILED: _last_move(triggers) in _FRESH,
    }
    return by_name.get(trigger, not (trigger in _UPWARD and it.paused_by))


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
