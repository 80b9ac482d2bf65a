"""Short ways to rollout logs, for tests."""

from dataclasses import replace
from typing import Any

from services.rollout.domain.decision import Decision
from services.rollout.domain.log_entry import LogEntry, Version
from services.rollout.domain.observation import Observation, Outcome
from services.rollout.domain.position import START, Position, apply
from services.rollout.domain.state_machine import Trigger, next_state

NAMES = {number: Version(version=str(number), digest=f"{number:064x}") for number in range(1, 100)}


class History:
    """A log in the making."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.position: Position = START

    def add(
        self,
        trigger: Trigger,
        *,
        version: int | None = None,
        step: int = -1,
        weight_ppm: int = 0,
        quality: str = "",
        at_s: float = 0.0,
        **more: Any,
    ) -> Position:
        """Append one entry about `version`, or about the one that is on its way."""
        position = self.position
        subject = NAMES[version] if version else position.subject or self.entries[-1].subject
        begins = trigger in (Trigger.START, Trigger.RESTORE)
        kept: dict[str, Any] = {"rivals": position.rivals, "spec_revision": position.spec_revision}
        fields: dict[str, Any] = {
            **kept,
            "actor": "test",
            "reason": "because",
            "evidence": {"quality": quality} if quality else {},
            **more,
        }
        entry = LogEntry(
            model="m",
            seq=position.seq + 1,
            rollout_id=f"r{position.seq + 1}" if begins else position.rollout_id,
            from_state=position.state,
            to_state=next_state(position.state, trigger),
            trigger=trigger,
            subject=subject,
            step=step,
            weight_ppm=weight_ppm,
            epoch=position.epoch + 1,
            fence=1,
            at_s=at_s,
            **fields,
        )
        self.position = apply(position, entry)
        self.entries.append(entry)
        return self.position

    def decide(self, decision: Decision | None) -> Position:
        """Append what was decided."""
        assert decision is not None
        return self.add(
            decision.trigger,
            version=int(decision.subject.version) if decision.subject else None,
            rivals=decision.rivals,
            step=decision.step,
            weight_ppm=decision.weight_ppm,
            mirror_ppm=decision.mirror_ppm,
            max_mirrored_per_s=decision.max_mirrored_per_s,
        )

    def promote(self, version: int) -> "History":
        """Bring a version all the way."""
        self.add(Trigger.START, version=version)
        if self.position.champion is None:
            self.add(Trigger.READY_FIRST, weight_ppm=1_000_000)
            return self
        self.add(Trigger.READY_FULL, weight_ppm=1_000_000)
        self.add(Trigger.BAKED, weight_ppm=1_000_000)
        return self


def canary_at(percent: float, *, quality: str = "", rivals: tuple[int, ...] = ()) -> History:
    """Version 1 is champion, version 2 canary; rivals wait for a later step."""
    history = History().promote(1)
    waiting = tuple(NAMES[rival] for rival in rivals)
    history.add(Trigger.START, version=2, quality=quality, rivals=waiting)
    history.add(Trigger.READY, step=0, weight_ppm=round(percent * 10_000))
    return history


def shadow_at(percent: float) -> History:
    """Version 1 is champion, version 2 gets copies of its requests."""
    history = History().promote(1)
    history.add(Trigger.START, version=2)
    history.add(Trigger.READY_SHADOW, step=0, mirror_ppm=round(percent * 10_000), max_mirrored_per_s=50.0)
    return history


def contest_at(percent: float, *, rivals: tuple[int, ...] = (3,)) -> History:
    """Version 1 is champion, version 2 and its rivals have `percent` each."""
    history = History().promote(1)
    history.add(Trigger.START, version=2, rivals=tuple(NAMES[rival] for rival in rivals))
    history.add(Trigger.READY_AB, step=0, weight_ppm=round(percent * 10_000))
    return history


def seen(
    version: int,
    *,
    offset: int,
    epoch: int,
    outcome: Outcome = "good",
    is_computed: bool = True,
    rows: int = 1,
    served_s: int | None = None,
    classes: tuple[tuple[str, int], ...] = (),
    unit: str = "",
    is_pinned: bool = False,
    latency_s: float = 0.01,
    input_score: float | None = None,
    has_abstained: bool | None = None,
) -> Observation:
    """One record."""
    return Observation(
        source="predictions/0",
        offset=offset,
        version=str(version),
        route_epoch=epoch,
        rows=rows,
        served_s=1000 + offset if served_s is None else served_s,
        outcome=outcome,
        is_computed=is_computed,
        classes=classes,
        unit=unit,
        is_pinned=is_pinned,
        latency_s=latency_s,
        input_score=input_score,
        has_abstained=has_abstained,
    )


def spoil(entry: LogEntry, **changes: object) -> LogEntry:
    """An entry that was tampered with."""
    return replace(entry, **changes)  # type: ignore[arg-type]
