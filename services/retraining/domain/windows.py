"""Which rows a candidate learns from, and which rows judge it.

Rows stand in time order, 0 the oldest. The hold-out is the newest end; between it and the last row
of training lies a gap of the label horizon, as it does in production: when row i is served, the
newest label known is that of row i - horizon.

    |------ window ------|-- gap --|-- hold-out --|
    start            fit_end   holdout_start    rows
"""

from collections.abc import Sequence
from dataclasses import dataclass

ALL = "all"
SINCE_DRIFT = "since_drift"
SLIDING = "sliding"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy:
    """The part of the spec that decides about rows."""

    names: tuple[str, ...]
    sliding_rows: int
    holdout_rows: int
    horizon_rows: int
    min_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A candidate's rows: [start, end) for the gate, [refit_start, refit_end) once it has won."""

    name: str
    start: int
    end: int
    refit_start: int
    refit_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedWindow:
    """A window that cannot be tried, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All rows of one training; `windows` is empty when there are too few."""

    rows: int
    fit_end: int
    holdout_start: int
    windows: tuple[Window, ...]
    skipped: tuple[SkippedWindow, ...]


def plan(policy: WindowPolicy, *, rows: int, drift_start: int | None) -> Plan:
    """Lay out the hold-out, the gap and every window.

    Args:
        policy: The spec's wishes.
        rows: Matured rows, in time order.
        drift_start: The first row of the drifted stretch, where one is known.
    """
    holdout_start = max(0, rows - policy.holdout_rows)
    fit_end = max(0, holdout_start - policy.horizon_rows)
    windows: list[Window] = []
    skipped: list[SkippedWindow] = []
    for name in policy.names:
        found = _window(name, policy, fit_end=fit_end, rows=rows, drift_start=drift_start)
        if isinstance(found, Window):
            found = _unless_double(found, windows)
        if isinstance(found, Window):
            windows.append(found)
        else:
            skipped.append(found)
    return Plan(
        rows=rows,
        fit_end=fit_end,
        holdout_start=holdout_start,
        windows=tuple(windows),
        skipped=tuple(skipped),
    )


def _window(
    name: str, policy: WindowPolicy, *, fit_end: int, rows: int, drift_start: int | None
) -> Window | SkippedWindow:
    if name == ALL:
        start, refit_start = 0, 0
    elif name == SINCE_DRIFT:
        if drift_start is None:
            return SkippedWindow(name=name, reason="no drift was reported")
        start, refit_start = min(drift_start, fit_end), drift_start
    else:
        length = _sliding_rows(name, policy)
        if length is None:
            return SkippedWindow(
                name=name, reason="unknown; known are all, since_drift, sliding, sliding:<rows>"
            )
        start, refit_start = max(0, fit_end - length), max(0, rows - length)
    if fit_end - start < policy.min_rows:
        reason = f"{fit_end - start} rows before the hold-out, min_rows is {policy.min_rows}"
        return SkippedWindow(name=name, reason=reason)
    return Window(name=name, start=start, end=fit_end, refit_start=refit_start, refit_end=rows)


def _sliding_rows(name: str, policy: WindowPolicy) -> int | None:
    if name == SLIDING:
        return policy.sliding_rows
    kind, _, length = name.partition(":")
    return int(length) if kind == SLIDING and length.isdecimal() and int(length) > 0 else None


def _unless_double(window: Window, earlier: Sequence[Window]) -> Window | SkippedWindow:
    for other in earlier:
        if other.start == window.start:
            return SkippedWindow(name=window.name, reason=f"the same rows as window {other.name}")
    return window
