"""What a load test hands over in a file: the figures that were aimed at, and its own page."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from goals import Measurement

MISSED: Final = 3  # how a load test ends that has measured, but missed what was aimed at


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table of what was aimed at.

    Attributes:
        is_met: None where nothing was measured, or not enough to judge.
    """

    title: str
    bound: str
    measured: str
    is_met: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one load test.

    Attributes:
        lines: Its page in Markdown, below a heading of the second level.
    """

    figures: Sequence[Figure]
    lines: Sequence[str]


def figure(measurement: Measurement, measured: str, *, is_met: bool | None) -> Figure:
    """A figure that was measured; `is_met` is None where that says nothing."""
    return Figure(title=measurement.title, bound=measurement.bound, measured=measured, is_met=is_met)


def not_measured(title: str, bound: str, *, why: str = "") -> Figure:
    """A figure that was not."""
    return Figure(
        title=title, bound=bound, measured="not measured" + (f": {why}" if why else ""), is_met=None
    )


def table(figures: Iterable[Figure]) -> Iterator[str]:
    """What was wanted, and what was found."""
    yield "| figure | wanted | measured |"
    yield "|---|---|---|"
    for it in figures:
        missed = ", **missed**" if it.is_met is False else ""
        yield f"| {it.title} | {it.bound} | {it.measured}{missed} |"


def write(outcome: Outcome, path: Path, **more: object) -> None:
    """Keep it, and whatever else is worth keeping."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(outcome), **more}, indent=1))


def read(path: Path) -> Outcome:
    """What `write` has kept."""
    kept = json.loads(path.read_text())
    return Outcome(figures=[Figure(**it) for it in kept["figures"]], lines=kept["lines"])
