"""How the stack looks on a terminal: parts getting ready, and the status table."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from slipway.stack.certificates import CertificateStatus
from slipway.stack.part import Part
from slipway.stack.stack_status import PartStatus
from slipway.stack.starting import Phase, Progress

_STYLES: Final = {
    Phase.WAITING: "dim",
    Phase.PREPARING: "cyan",
    Phase.STARTING: "cyan",
    Phase.PROVISIONING: "cyan",
    Phase.READY: "green",
    Phase.FAILED: "bold red",
}
_STATE_STYLES: Final = {"ready": "green", "stopped": "dim", "standby": "dim"}
_MIB: Final = 1024 * 1024


class AscentView:
    """Parts getting ready: a live table on a terminal, a line for each elsewhere."""

    def __init__(self, parts: Iterable[Part], console: Console) -> None:
        self._console = console
        self._progress = {part.name: Progress(part=part.name, phase=Phase.WAITING) for part in parts}
        self._needs = {part.name: part.needs for part in parts}
        self._begun_s: dict[str, float] = {}
        self._ready_s: dict[str, float] = {}
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=6)

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the end and stop."""
        if self._console.is_terminal:
            self._live.stop()

    def report(self, progress: Progress) -> None:
        """Take in one step of one part."""
        now_s = time.monotonic()
        self._begun_s.setdefault(progress.part, now_s)
        self._progress[progress.part] = progress
        if progress.phase in {Phase.READY, Phase.FAILED}:
            self._ready_s[progress.part] = now_s - self._begun_s[progress.part]
            if not self._console.is_terminal:
                self._console.print(f"{progress.part:<16} {self._detail(progress)}")

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, progress in self._progress.items():
            style = _STYLES[progress.phase]
            table.add_row(Text(name, style="bold"), Text(self._detail(progress), style=style))
        return table

    def _detail(self, progress: Progress) -> str:
        part = progress.part
        if progress.phase is Phase.READY and progress.was_running:
            return "ready (was running)"
        if part in self._ready_s:
            return f"{progress.phase} after {self._ready_s[part]:.1f} s"
        if progress.phase is Phase.WAITING:
            away = [need for need in self._needs[part] if self._progress[need].phase is not Phase.READY]
            return f"waiting for {', '.join(away)}" if away else "waiting"
        return f"{progress.phase} {time.monotonic() - self._begun_s[part]:.0f} s"


class StepView:
    """Parts one after the other: a line when one starts, and one when it is ready."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun_s = time.monotonic()

    def report(self, progress: Progress) -> None:
        """Take in one step of one part."""
        if progress.phase is Phase.PREPARING:
            self._begun_s = time.monotonic()
            self._console.print(f"starting {progress.part}")
        elif progress.phase in {Phase.READY, Phase.FAILED}:
            style, seconds = _STYLES[progress.phase], time.monotonic() - self._begun_s
            self._console.print(f"{progress.part} [{style}]{progress.phase}[/] after {seconds:.1f} s")


def status_table(rows: Iterable[PartStatus]) -> Table:
    """The parts of the stack, with a total of their memory."""
    table = Table(box=None, header_style="bold", pad_edge=False, show_footer=True)
    shown = list(rows)
    total = sum(row.memory_bytes for row in shown)
    table.add_column("part", footer="total")
    table.add_column("state")
    table.add_column("pid", justify="right")
    table.add_column("uptime", justify="right")
    table.add_column("memory", justify="right", footer=f"{total / _MIB:,.0f} MiB")
    table.add_column("port", justify="right")
    table.add_column("restarts", justify="right")
    for row in shown:
        table.add_row(
            row.name,
            Text(row.state, style=_STATE_STYLES.get(row.state, "bold red")),
            str(row.pid or "-"),
            _duration(row.uptime_s) if row.pid else "-",
            f"{row.memory_bytes / _MIB:,.0f} MiB" if row.pid else "-",
            str(row.port),
            str(row.restarts),
        )
    return table


def certificates_line(certificates: Iterable[CertificateStatus]) -> Text:
    """Until when the stack's certificates hold; says what to do when one ends soon."""
    due = sorted((it for it in certificates), key=lambda it: it.expires_at)
    if not due:
        return Text("no certificates: run `slipway init`", style="bold red")
    first = due[0]
    told = f"certificates valid until {first.expires_at:%Y-%m-%d} ({first.days_left} days)"
    if not first.is_due:
        return Text(told, style="dim")
    names = ", ".join(it.name for it in due if it.is_due)
    return Text(f"{told}: {names}; run `slipway init --renew`", style="bold red")


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(max(seconds, 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours}:{minutes:02}:{seconds:02}"
