"""Whom a transition concerns, and what he is told: one line that says what happened and what he could do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.state_machine import State, Trigger
from slipway.spec_sections import Freeze, Notification, Rollout

_SECONDS_PER_DAY: Final = 86_400
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PARTS_PER_PERCENT: Final = 10_000
_GATES: Final = {
    "pause": "does not go on: paused by {actor}: {reason}",
    "resume": "goes on again: resumed by {actor}: {reason}",
    "approve": "is approved by {actor}: {reason}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one receiver is sent.

    Attributes:
        id: Of the message; the same whenever it is sent again.
        kind: As in the spec: start, step, gate, promoted, taken_back.
    """

    id: str
    kind: str
    text: str
    receiver: Notification


def notices_of(entry: LogEntry, rollout: Rollout) -> tuple[Notice, ...]:
    """The notices of one entry of the log, one for each receiver that wants one of its kinds."""
    approval = _approval_of(entry, rollout)
    kinds = _kinds(entry, approval=approval)
    return _addressed(
        f"{entry.model}/{entry.seq}", kinds, text=_text(entry, approval=approval), rollout=rollout
    )


def gate_notices(last: LogEntry, rollout: Rollout, *, key: str, what: str) -> tuple[Notice, ...]:
    """The notices of a gate that closed by itself: no entry of the log says it.

    Args:
        last: The latest entry of the log.
        rollout: Who is to be told.
        key: Of this closing within the rollout: each is told once.
        what: What it does to the version.
    """
    text = f"{last.model}: version {last.subject.version} {what}"
    return _addressed(f"{last.model}/{last.rollout_id}/{key}", ("gate",), text=text, rollout=rollout)


def opened_on(window: Freeze, *, now_s: float) -> str:
    """The UTC date on which the window that is open now has opened; empty: it is not open."""
    hours, _, minutes = window.start.partition(":")
    begins = timedelta(hours=int(hours), minutes=int(minutes))
    today = datetime.fromtimestamp(now_s - now_s % _SECONDS_PER_DAY, UTC)
    for day in (today, today - timedelta(days=1)):
        open_s = now_s - (day + begins).timestamp()
        if (not window.days or _DAYS[day.weekday()] in window.days) and 0 <= open_s < window.minutes * 60:
            return day.date().isoformat()
    return ""


def _addressed(notice_id: str, kinds: Sequence[str], *, text: str, rollout: Rollout) -> tuple[Notice, ...]:
    found = []
    for at, receiver in enumerate(rollout.notify):
        kind = next((kind for kind in kinds if kind in receiver.on), None)
        if kind is not None:
            found.append(Notice(id=f"{notice_id}/{at}", kind=kind, text=text, receiver=receiver))
    return tuple(found)


def _kinds(entry: LogEntry, *, approval: str) -> tuple[str, ...]:
    if entry.trigger is Trigger.RECONCILE:
        return ()
    if entry.trigger in _GATES:
        return ("gate",)
    ends = {
        State.WARMING: ("start",),
        State.DONE: ("promoted",),
        State.ABORTED: ("taken_back",),
        State.ROLLED_BACK: ("taken_back",),
    }
    return ends.get(entry.to_state, ("step", "gate") if approval else ("step",))


def _approval_of(entry: LogEntry, rollout: Rollout) -> str:
    """The role whose approval the step that is entered needs before the next one."""
    is_step = 0 <= entry.step < len(rollout.steps) and entry.trigger not in _GATES
    return rollout.steps[entry.step].approval if is_step else ""


def _text(entry: LogEntry, *, approval: str) -> str:
    who = f"{entry.model}: version {entry.subject.version}"
    if entry.trigger in _GATES:
        return f"{who} {_GATES[entry.trigger].format(actor=entry.actor, reason=entry.reason or 'no reason')}"
    if entry.to_state is State.WARMING:
        quality = entry.evidence.get("quality")
        return f"{who} is being rolled out by {entry.actor}: {entry.reason}" + (
            f"; {quality}" if quality else ""
        )
    if entry.to_state is State.DONE:
        return f"{who} is promoted: {entry.reason}"
    if entry.to_state in (State.ABORTED, State.ROLLED_BACK):
        return f"{who} is taken back ({entry.to_state}) by {entry.actor}: {entry.reason}"
    text = f"{who} is in {entry.to_state} with {entry.weight_ppm / _PARTS_PER_PERCENT:g} %: {entry.reason}"
    if approval:
        text += f"; the next step needs the approval of {approval!r}: `slipway rollout approve {entry.model}`"
    return text
