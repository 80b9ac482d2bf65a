"""Where a model stands: the log folded up to its latest entry."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain.log_entry import LogEntry, Version
from services.rollout.domain.state_machine import IN_PLACE, LIVE, STEPS, State, Trigger, next_state
from slipway.errors import Conflict

KEPT_CHAMPIONS: Final = 10  # how far back `rollback` can go


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Between whom chance chooses while one route table is in force.

    Attributes:
        new: The version that is rolled out; in an A/B step its rivals too.
        champion: Who has the rest; empty before a model's first champion.
        weight_ppm: Of each new one.
    """

    epoch: int
    new: tuple[str, ...]
    champion: str
    weight_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A model's place in its rollouts.

    Attributes:
        champion: The version that answers; None before the first one is ready.
        previous: Former champions, oldest first; what `rollback` returns to.
        is_standby_warm: Whether the latest former champion is kept ready at weight 0.
        subject: The version being rolled out, while a rollout is live; after an A/B step the winner.
        rivals: Further versions until an A/B step has decided.
        spec_revision: Of the spec whose policy the live rollout follows; a newer one is for the next rollout.
        skips_steps: It was champion lately (`rollback_window`): no step has to prove it again.
        is_restore: Whether the live rollout brings a former champion back.
        weight_ppm: The subject's share, in parts per million; in an A/B step each rival has the same.
        mirror_ppm: Share of the requests that are copied to it in a shadow step.
        max_mirrored_per_s: Copies a second and gateway at most.
        draws: Between whom chance has chosen at each epoch of the live rollout.
        step_epoch: First epoch of the present step.
        entered_at_s: When the present step was entered; pauses of it are added.
        approved_by: Who signed the present step; empty: nobody yet.
        paused_by: Who paused it; empty: it goes on.
        pause_reason: Why.
        paused_at_s: Since when.
    """

    state: State = State.IDLE
    seq: int = 0
    epoch: int = 0
    rollout_id: str = ""
    salt: str = ""
    champion: Version | None = None
    previous: tuple[Version, ...] = ()
    is_standby_warm: bool = False
    subject: Version | None = None
    rivals: tuple[Version, ...] = ()
    spec_revision: int = 0
    is_restore: bool = False
    skips_steps: bool = False
    step: int = -1
    weight_ppm: int = 0
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0
    draws: tuple[Draw, ...] = ()
    step_epoch: int = 0
    entered_at_s: float = 0.0
    approved_by: str = ""
    paused_by: str = ""
    pause_reason: str = ""
    paused_at_s: float = 0.0
    quality: str = ""
    rollouts: int = 0
    promoted: int = 0
    rolled_back: int = 0

    @property
    def is_live(self) -> bool:
        """Whether a rollout is under way."""
        return self.state in LIVE

    @property
    def standby(self) -> Version | None:
        """The former champion that is kept warm, if any."""
        return self.previous[-1] if self.is_standby_warm and self.previous else None

    def draw_at(self, epoch: int) -> Draw | None:
        """Between whom chance has chosen at an epoch; None: it is not of the live rollout."""
        return next((draw for draw in reversed(self.draws) if draw.epoch == epoch), None)


START: Final = Position()


def fold(entries: Iterable[LogEntry]) -> Position:
    """Replay a log from its beginning.

    Raises:
        Conflict: The log is broken: names the entry.
    """
    position = START
    for entry in entries:
        position = apply(position, entry)
    return position


def apply(position: Position, entry: LogEntry) -> Position:
    """The position after one more entry.

    Raises:
        Conflict: The entry does not follow on the position.
    """
    _check(position, entry)
    moved = replace(position, state=entry.to_state, seq=entry.seq, epoch=entry.epoch)
    if entry.trigger in IN_PLACE:
        kept = _remember_draw(moved) if moved.is_live else moved
        return _sign(kept, entry)
    return _EFFECTS[entry.to_state](_enter(moved, entry), entry)


def _enter(position: Position, entry: LogEntry) -> Position:
    """What begins anew with every step; a pause outlasts the step in which it was asked for."""
    entered = replace(
        position,
        step_epoch=entry.epoch,
        entered_at_s=entry.at_s,
        paused_at_s=entry.at_s,
        approved_by="",
        step=entry.step,
        weight_ppm=entry.weight_ppm,
        mirror_ppm=entry.mirror_ppm,
        max_mirrored_per_s=entry.max_mirrored_per_s,
    )
    # Who promotes by hand does not mean it to stand still.
    return _unpaused(entered) if entry.trigger is Trigger.PROMOTE else entered


def _check(position: Position, entry: LogEntry) -> None:
    expected = next_state(position.state, entry.trigger)
    if (
        entry.seq != position.seq + 1
        or entry.epoch <= position.epoch
        or entry.from_state is not position.state
        or entry.to_state is not expected
    ):
        raise Conflict(
            f"{entry.model}: log entry {entry.seq} ({entry.from_state} -> {entry.to_state}, "
            f"epoch {entry.epoch}) does not follow on "
            f"{position.seq} ({position.state}, epoch {position.epoch})"
        )


def _sign(position: Position, entry: LogEntry) -> Position:
    if entry.trigger is Trigger.APPROVE:
        return replace(position, approved_by=entry.actor)
    if entry.trigger is Trigger.PAUSE and not position.paused_by:
        return replace(position, paused_by=entry.actor, pause_reason=entry.reason, paused_at_s=entry.at_s)
    if entry.trigger is Trigger.RESUME and position.paused_by:
        paused_s = max(0.0, entry.at_s - position.paused_at_s)
        return replace(_unpaused(position), entered_at_s=position.entered_at_s + paused_s)
    return position


def _unpaused(position: Position) -> Position:
    return replace(position, paused_by="", pause_reason="")


def _to_warming(position: Position, entry: LogEntry) -> Position:
    is_restore = entry.trigger is Trigger.RESTORE
    return replace(
        _unpaused(position),
        rollout_id=entry.rollout_id,
        salt=entry.rollout_id,
        subject=entry.subject,
        rivals=entry.rivals,
        spec_revision=entry.spec_revision,
        is_restore=is_restore,
        skips_steps=bool(entry.evidence.get("skips_steps", False)),
        draws=(),
        quality=str(entry.evidence.get("quality", "")),
        rollouts=position.rollouts + (not is_restore),
    )


def _to_step(position: Position, entry: LogEntry) -> Position:
    return _remember_draw(replace(position, subject=entry.subject, rivals=entry.rivals))


def _to_bake(position: Position, entry: LogEntry) -> Position:
    assert position.champion is not None
    promoted = replace(
        position,
        champion=entry.subject,
        previous=(*position.previous, position.champion)[-KEPT_CHAMPIONS:],
        is_standby_warm=True,
        subject=entry.subject,
        rivals=(),
    )
    return _remember_draw(promoted)


def _to_done(position: Position, entry: LogEntry) -> Position:
    ended = replace(_end(position), promoted=position.promoted + 1)
    return replace(ended, champion=entry.subject)


def _to_aborted(position: Position, _entry: LogEntry) -> Position:
    return replace(_end(position), rolled_back=position.rolled_back + 1)


def _to_rolled_back(position: Position, entry: LogEntry) -> Position:
    if not position.previous:
        raise Conflict(f"{entry.model}: there is no former champion to return to")
    return replace(
        _end(position),
        champion=position.previous[-1],
        previous=position.previous[:-1],
        is_standby_warm=False,
        rolled_back=position.rolled_back + 1,
    )


def _end(position: Position) -> Position:
    return replace(
        _unpaused(position),
        subject=None,
        rivals=(),
        spec_revision=0,
        is_restore=False,
        skips_steps=False,
        step=-1,
        weight_ppm=0,
        mirror_ppm=0,
        max_mirrored_per_s=0.0,
        draws=(),
    )


def _remember_draw(position: Position) -> Position:
    assert position.subject is not None
    rivals = position.rivals if position.state is State.AB else ()
    champion = position.previous[-1] if position.state is State.BAKE else position.champion
    draw = Draw(
        epoch=position.epoch,
        new=(position.subject.version, *(rival.version for rival in rivals)),
        champion=champion.version if champion else "",
        weight_ppm=position.weight_ppm,
    )
    return replace(position, draws=(*position.draws, draw))


_EFFECTS: Final = {
    State.WARMING: _to_warming,
    **dict.fromkeys(STEPS, _to_step),
    State.BAKE: _to_bake,
    State.DONE: _to_done,
    State.ABORTED: _to_aborted,
    State.ROLLED_BACK: _to_rolled_back,
}
