"""From measurements to a page: medians over the rounds, proportions, and what was aimed at."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from goals import GOALS, MEASUREMENTS, Goal
from outcome import Figure, Outcome, not_measured, table
from readings import Figures
from rounds import Measured
from scenarios import CONTESTANTS, SLIPWAY, Load, Scenario

_TITLES: Final = {contestant.name: contestant.title for contestant in CONTESTANTS}
_SITES: Final = {contestant.name: contestant.site for contestant in CONTESTANTS}


@dataclass(frozen=True, slots=True)
class Results:
    """All measurements of one scenario."""

    scenario: Scenario
    measured: Sequence[Measured]

    def figures(self, contestant: str, load: Load) -> list[Figures]:
        """One for each round that gave some."""
        return [
            m.figures
            for m in self.measured
            if m.contestant == contestant and m.load == load and m.figures is not None
        ]

    def median(self, contestant: str, load: Load, column: str) -> float | None:
        """Over the rounds; None where nothing was measured."""
        values = [getattr(figures, column) for figures in self.figures(contestant, load)]
        return statistics.median(values) if values else None

    def reasons(self) -> Iterator[tuple[str, str]]:
        """Contestants and loads without figures, and why; those with the same reason together."""
        seen: dict[str, dict[str, None]] = {}
        for m in self.measured:
            if m.reason:
                who = f"{_TITLES[m.contestant]}, {m.load.title}"
                seen.setdefault(" ".join(m.reason.split()), {})[who] = None
        for reason, them in seen.items():
            yield "; ".join(them), reason


def page(
    results: Sequence[Results], *, head: Sequence[str], name: str, trials: Mapping[str, Outcome] | None = None
) -> str:
    """The whole report; its pictures are `<name>-<scenario>.png`.

    Args:
        results: Of the tables.
        head: The first lines.
        name: Of the report's files.
        trials: What the other load tests handed over, by their titles.
    """
    trials = trials or {}
    parts = [*head, "", "## What was aimed at", "", *table(aimed_at(results, trials.values()))]
    for found in results:
        parts += ["", f"## {found.scenario.title}", "", *_beside(found), *_tables(found)]
        parts += ["", f"![throughput and p99 against concurrency]({name}-{found.scenario.name}.png)", ""]
        parts += [f"- left out: {who}: {why}" for who, why in found.reasons()]
    for title, outcome in trials.items():
        parts += ["", f"## {title}", "", *outcome.lines]
    return "\n".join(parts) + "\n"


def aimed_at(results: Sequence[Results], trials: Iterable[Outcome]) -> Iterator[Figure]:
    """Every figure that is aimed at, measured or not."""
    for goal in GOALS:
        yield _judged(goal, next((r for r in results if r.scenario.name == goal.scenario), None))
    known = {figure.title: figure for outcome in trials for figure in outcome.figures}
    for it in MEASUREMENTS:
        why = f"`./load-tests/{it.trial}/run`" if it.trial else it.where
        yield known.get(it.title) or not_measured(it.title, it.bound, why=why)


def _judged(goal: Goal, results: Results | None) -> Figure:
    value = reached(goal, results) if results else None
    if value is None:
        return not_measured(goal.title, goal.bound)
    is_met = value >= goal.wanted if goal.is_ratio else value <= goal.wanted
    unit = " x" if goal.is_ratio else " ms"
    return Figure(title=goal.title, bound=goal.bound, measured=f"{value:.2f}{unit}", is_met=is_met)


def reached(goal: Goal, results: Results) -> float | None:
    """The figure that a goal speaks of; None where it was not measured."""
    ours = results.median(goal.contestant, goal.load, goal.column)
    theirs = results.median(goal.against, goal.load, goal.column)
    if ours is None or theirs is None:
        return None
    return ours / theirs if goal.is_ratio else ours - theirs


def _tables(found: Results) -> Iterator[str]:
    loads = found.scenario.loads
    columns: tuple[tuple[str, Callable[[str, Load], str]], ...] = (
        ("answers a second (lowest and highest round)", lambda c, load: _rate(found, c, load)),
        ("as a multiple of " + _TITLES[found.scenario.reference], lambda c, load: _ratio(found, c, load)),
        ("p50 / p99 in ms", lambda c, load: _latency(found, c, load)),
        ("processor time of the servers for an answer, ms", lambda c, load: _cpu(found, c, load)),
        ("processor time of the driver for an answer, ms", lambda c, load: _driver_cpu(found, c, load)),
    )
    for title, cell in columns:
        yield ""
        yield f"| {title} | " + " | ".join(load.title for load in loads) + " |"
        yield "|---|" + "---|" * len(loads)
        for contestant in found.scenario.contestants:
            cells = " | ".join(cell(contestant, load) for load in loads)
            yield f"| {_TITLES[contestant]} | {cells} |"


def _rate(found: Results, contestant: str, load: Load) -> str:
    rates = [figures.rate_per_s for figures in found.figures(contestant, load)]
    if not rates:
        return "-"
    errors = sum(figures.errors for figures in found.figures(contestant, load))
    spread = f" ({min(rates):,.0f}..{max(rates):,.0f})" if len(rates) > 1 else ""
    return f"{statistics.median(rates):,.0f}{spread}" + (f", {errors:,} errors" if errors else "")


def _ratio(found: Results, contestant: str, load: Load) -> str:
    own = found.median(contestant, load, "rate_per_s")
    reference = found.median(found.scenario.reference, load, "rate_per_s")
    return f"{own / reference:.2f}" if own and reference else "-"


def _latency(found: Results, contestant: str, load: Load) -> str:
    p50, p99 = (found.median(contestant, load, column) for column in ("p50_ms", "p99_ms"))
    return f"{p50:.2f} / {p99:.2f}" if p50 is not None else "-"


def _cpu(found: Results, contestant: str, load: Load) -> str:
    spent = found.median(contestant, load, "cpu_ms")
    return f"{spent:.3f}" if spent is not None else "-"


def _driver_cpu(found: Results, contestant: str, load: Load) -> str:
    spent = found.median(contestant, load, "driver_cpu_ms")
    return f"{spent:.3f}" if spent is not None else "-"


def _beside(found: Results) -> Iterator[str]:
    beside = sorted({part for m in found.measured for part in m.beside})
    if beside:
        yield f"Ran while Slipway was measured: {', '.join(beside)}."
    if any(_SITES[name] != SLIPWAY for name in found.scenario.contestants):
        yield "While a peer was measured, it was alone: nothing of Slipway ran."
