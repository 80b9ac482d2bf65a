"""Alarms with hysteresis: raised once, ended only below a lower level."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.drift_detection.domain.verdicts import Signal, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that is on."""

    alarm_id: str
    signal: Signal
    subject: str
    clear_below: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alarm came on."""

    alarm: Alarm
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """An alarm ended."""

    alarm: Alarm
    evidence: str


Change = Raised | Cleared


def settle(
    active: Iterable[Alarm], verdicts: Iterable[Verdict], *, id_prefix: str, look: int
) -> tuple[tuple[Alarm, ...], list[Change]]:
    """Turn alarms on and off.

    Args:
        active: Alarms that are on; those without a verdict stay as they are.
        verdicts: At most one per signal and subject.
        id_prefix: Names the version and its reign, so that a version that comes back has alarms of its own.
        look: Number of this look; with the prefix it makes the id a function of the data alone.
    Returns:
        The alarms that are on now, and what changed.
    """
    on = {(a.signal, a.subject): a for a in active}
    changes: list[Change] = []
    for verdict in verdicts:
        key = (verdict.signal, verdict.subject)
        alarm = on.get(key)
        if alarm and (ending := _ending(alarm, verdict)):
            changes.append(Cleared(alarm=on.pop(key), evidence=ending))
            alarm = None
        if alarm is None and verdict.is_raised:
            on[key] = _alarm(verdict, f"{id_prefix}/{verdict.signal}/{verdict.subject or '-'}/{look}")
            changes.append(Raised(alarm=on[key], verdict=verdict))
    return tuple(on.values()), changes


def end_all(active: Iterable[Alarm], evidence: str) -> list[Change]:
    """End every alarm for one reason."""
    return [Cleared(alarm=alarm, evidence=evidence) for alarm in active]


def _ending(alarm: Alarm, verdict: Verdict) -> str:
    """Why an alarm ends, or an empty text."""
    if verdict.is_raised:
        # A detector of change that fires again has seen a further change, not the old one.
        return "A further change was found." if verdict.signal is Signal.CONCEPT else ""
    if verdict.statistic < alarm.clear_below:
        return f"Back at {verdict.statistic:.3f}, under {alarm.clear_below:.3f}."
    return ""


def _alarm(verdict: Verdict, alarm_id: str) -> Alarm:
    return Alarm(
        alarm_id=alarm_id,
        signal=verdict.signal,
        subject=verdict.subject,
        clear_below=verdict.clear_below,
    )
