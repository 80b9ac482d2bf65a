"""Following one rollout to its end: what changed since the last look, and three ways to show it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Final, Protocol, Self

import orjson
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from slipway.cli.rollout_status import plain_status, plain_step, render
from slipway.errors import DeadlineExceeded, NotFound, Unavailable
from slipway.rollout_report.document import plain_event
from slipway.v1.rollout_pb2 import RolloutEvent, RolloutStatus, RolloutStep

LOOK_S: Final = 1.0
_DEADLINE_S: Final = 5.0
_EVENTS: Final = 20
_ALL_EVENTS: Final = 1000  # after an absence: whatever happened meanwhile
_REFRESH_PER_S: Final = 4
_PROMOTED: Final = "DONE"
_ENDS: Final = (_PROMOTED, "ABORTED", "ROLLED_BACK")


class Outcome(Enum):
    """How a rollout ended, with the exit code of `watch`."""

    PROMOTED = 0
    TAKEN_BACK = 3

    @property
    def exit_code(self) -> int:
        """0, or 3 for a version that was taken back."""
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is different now.

    Attributes:
        kind: began, transition, gate, finding, evidence, away, back, end.
        text: In plain words.
        is_noise: Counts that grew: for programs, not for people who read lines.
    """

    kind: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)
    is_noise: bool = False


class Plane(Protocol):
    """Who can be asked where a model stands."""

    async def status(self, model: str, *, events: int, deadline_s: float) -> RolloutStatus:
        """Where the model stands, with its newest events."""
        ...


class Display(Protocol):
    """Where changes are shown."""

    def show(self, watch: "Watch", changes: list[Change]) -> None:
        """Show what is new."""
        ...


@dataclass(slots=True, kw_only=True)
class Watch:
    """One rollout as it was seen so far.

    Attributes:
        away: Why nobody answers; empty: somebody does.
        outcome: How it ended; None: it has not.
    """

    model: str
    rollout_id: str = ""
    status: RolloutStatus | None = None
    seen_seq: int = 0
    away: str = ""
    outcome: Outcome | None = None

    def take(self, status: RolloutStatus) -> list[Change]:
        """What a new status changes.

        Raises:
            NotFound: The model had no rollout yet.
        """
        changes = [Change(kind="back", text="the control plane answers again")] if self.away else []
        before, self.status, self.away = self.status, status, ""
        if before is None:
            self._begin(status)
            changes.append(Change(kind="began", text=status.explanation, data=plain_status(status)))
        else:
            changes += self._transitions(status)
            changes += _step_changes(before, status)
        self.seen_seq = max([self.seen_seq, *(event.seq for event in status.events)])
        return changes + self._end(status)

    def lose(self, why: str) -> list[Change]:
        """Nobody answers: said once."""
        was_away, self.away = bool(self.away), why
        text = f"the control plane does not answer, gateways serve on; trying again: {why}"
        return [] if was_away else [Change(kind="away", text=text, data={"reason": why})]

    def _begin(self, status: RolloutStatus) -> None:
        self.rollout_id = _id_of(status)
        if not self.rollout_id:
            raise NotFound(
                f"{self.model} had no rollout yet; `slipway rollout start {self.model} VERSION` begins one"
            )

    def _transitions(self, status: RolloutStatus) -> Iterator[Change]:
        for event in reversed(status.events):
            if event.seq > self.seen_seq and event.rollout_id == self.rollout_id:
                text = f"{event.from_state} -> {event.to_state}, by {event.actor}: {event.reason}"
                yield Change(kind="transition", text=text, data=plain_event(event))

    def _end(self, status: RolloutStatus) -> list[Change]:
        if status.state != "IDLE" and _id_of(status) == self.rollout_id:
            return []
        last = next((event for event in status.events if event.rollout_id == self.rollout_id), None)
        if last is None:
            raise NotFound(
                f"rollout {self.rollout_id} of {self.model} has ended long ago; "
                f"`slipway rollout report {self.model} --rollout {self.rollout_id}` says how"
            )
        if last.to_state not in _ENDS:  # the events were read a moment before the state
            return []
        self.outcome = _outcome_of(last)
        word = "promoted" if self.outcome is Outcome.PROMOTED else "taken back"
        data = {"outcome": word.replace(" ", "_"), **plain_event(last)}
        return [Change(kind="end", text=f"version {last.version} {word}: {last.reason}", data=data)]


def _id_of(status: RolloutStatus) -> str:
    if status.HasField("step"):
        return status.step.rollout_id
    return status.events[0].rollout_id if status.events else ""


def _outcome_of(last: RolloutEvent) -> Outcome:
    # A rollback that had to warm the former version first ends as it was meant to.
    is_restored = last.trigger == "restored"
    return Outcome.PROMOTED if last.to_state == _PROMOTED or is_restored else Outcome.TAKEN_BACK


def _step_changes(before: RolloutStatus, now: RolloutStatus) -> Iterator[Change]:
    was, step = before.step, now.step
    if step.closed_by != was.closed_by:
        yield Change(kind="gate", text=step.closed_by or "nothing holds it any more", data=plain_step(step))
    if step.approved_by and step.approved_by != was.approved_by:
        yield Change(kind="gate", text=f"approved by {step.approved_by}", data=plain_step(step))
    standings = {finding.name: finding.standing for finding in was.findings}
    for finding in step.findings:
        if finding.standing != standings.get(finding.name, "gathering"):
            yield Change(kind="finding", text=f"{finding.standing}: {finding.text}", data=plain_step(step))
    if _counts(step) != _counts(was):
        yield Change(kind="evidence", text=now.explanation, data=plain_step(step), is_noise=True)


def _counts(step: RolloutStep) -> list[tuple[str, int, float]]:
    return [(finding.name, finding.samples, finding.log_e_harm) for finding in step.findings]


async def follow(plane: Plane, model: str, *, display: Display, look_s: float = LOOK_S) -> Outcome:
    """Show each change until the rollout has ended.

    Raises:
        NotFound: No such model, or it had no rollout yet.
    """
    watch = Watch(model=model)
    while True:
        events = _ALL_EVENTS if watch.away or watch.status is None else _EVENTS
        try:
            status = await plane.status(model, events=events, deadline_s=_DEADLINE_S)
        except (Unavailable, DeadlineExceeded) as error:
            changes = watch.lose(_first_line(error))
        else:
            changes = watch.take(status)
        display.show(watch, changes)
        if watch.outcome:
            return watch.outcome
        await asyncio.sleep(look_s)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class _Lines:
    """A display that has nothing to open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class JsonLines(_Lines):
    """One JSON object a line for each change."""

    def show(self, watch: Watch, changes: list[Change]) -> None:
        """Print each change."""
        for change in changes:
            line = {"model": watch.model, "rollout_id": watch.rollout_id, "change": change.kind}
            typer.echo(orjson.dumps({**line, "text": change.text, "data": change.data}).decode())


class PlainLines(_Lines):
    """One line for each change that a person would want to read."""

    def show(self, watch: Watch, changes: list[Change]) -> None:
        """Print each change but counts that grew."""
        for change in changes:
            if not change.is_noise:
                typer.echo(f"{watch.model}: {change.text}")


class Screen:
    """The status, drawn over and over in a terminal; what happened stays above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=_REFRESH_PER_S, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, watch: Watch, changes: list[Change]) -> None:
        """Draw the newest status."""
        for change in changes:
            if change.kind in ("away", "back", "end"):
                self._console.print(Text(f"{watch.model}: {change.text}"))
        self._live.update(_screen(watch), refresh=True)


def _screen(watch: Watch) -> RenderableType:
    parts: list[RenderableType] = [render(watch.status)] if watch.status else []
    if watch.away:
        parts.append(Text(f"not answered, shown is the last known state; trying again: {watch.away}", "red"))
    return Group(*parts)
