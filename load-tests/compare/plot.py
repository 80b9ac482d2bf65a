"""Throughput and p99 against concurrency, as a picture."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from report import Results
from scenarios import CONTESTANTS

_PANELS = (("rate_per_s", "answers a second"), ("p99_ms", "p99 in ms"))


def draw(results: Results, path: Path) -> None:
    """One line for each contestant."""
    mpl.use("Agg")
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    loads = [load for load in results.scenario.loads if load.in_flight]
    for axes, (column, title) in zip(figure.subplots(1, 2), _PANELS, strict=True):
        for contestant in CONTESTANTS:
            values = [(load.in_flight, results.median(contestant.name, load, column)) for load in loads]
            known = [(x, y) for x, y in values if y is not None]
            if known:
                is_ours = contestant.name == results.scenario.reference
                line = "o--" if contestant.protocol == "http" else "o-"
                axes.plot(*zip(*known, strict=True), line, label=contestant.title, lw=3 if is_ours else 1.2)
        axes.set(xscale="log", yscale="log", xlabel="calls in flight", ylabel=title)
        axes.set_xticks([load.in_flight for load in loads], [str(load.in_flight) for load in loads])
        axes.grid(visible=True, which="both", alpha=0.2)
    lines = figure.axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside right upper", fontsize="x-small")
    figure.savefig(path, dpi=130)
