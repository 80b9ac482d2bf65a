"""The live view: where the stream stands, how well it is answered, and what the loop does about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from slipway.replay.journal import Entry, Journal
from slipway.replay.ledger import Ledger

_RECENT_ROWS: Final = 1000
_ENTRIES: Final = 9
_STYLE: Final = {
    "alarm": "red",
    "request": "yellow",
    "blessed": "green",
    "rejected": "magenta",
    "insufficient": "magenta",
    "rollout": "cyan",
}


@dataclass(slots=True, kw_only=True)
class View:
    """Renders the state of a replay; rich calls it as often as it refreshes."""

    ledger: Ledger
    journal: Journal
    doing: Callable[[], str]
    progress: Progress

    def __rich__(self) -> Panel:
        """The whole picture."""
        self.progress.update(self.progress.task_ids[0], completed=self.ledger.sent)
        parts = Group(self.progress, self._accuracy(), *map(_line, self.journal.entries[-_ENTRIES:]))
        return Panel(
            parts, title=f"replay of {self.journal.model}", subtitle=self.doing(), title_align="left"
        )

    def _accuracy(self) -> Table:
        table = Table.grid(padding=(0, 3))
        table.add_row("", "[dim]last 1,000[/dim]", "[dim]so far[/dim]")
        for name, answers in (("closed loop", self.ledger.predicted), ("first version", self.ledger.frozen)):
            hits = self.ledger.hits(answers)
            recent, whole = (f"{h.mean():.3f}" if h.size else "-" for h in (hits[-_RECENT_ROWS:], hits))
            table.add_row(name, recent, whole)
        version = next((v for v in reversed(self.ledger.version[: self.ledger.sent]) if v), "-")
        table.add_row("answered by", f"version {version}", f"{len(self.ledger.failures)} failed")
        return table


def progress_of(rows: int) -> Progress:
    """A bar over the rows of the stream."""
    bar = Progress(BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    bar.add_task("rows", total=rows)
    return bar


def plain_line(entry: Entry) -> str:
    """One entry for a log."""
    about = " ".join(filter(None, (entry.kind, entry.state, entry.version and f"v{entry.version}")))
    return f"row {entry.row:>6}  {about}: {entry.text}"


def _line(entry: Entry) -> Text:
    return Text(plain_line(entry), style=_STYLE[entry.kind], overflow="ellipsis", no_wrap=True)
