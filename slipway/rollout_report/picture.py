"""A rollout as a picture: evidence of harm and of proof, samples, and weight over time."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt

from slipway.v1.rollout_pb2 import EvidencePoint, Finding, RolloutReport

_COLOURS: Final = "tab10"
_COLOUR_COUNT: Final = 10
_DECISION: Final[dict[str, Any]] = {"color": "#777777", "lw": 0.9, "ls": ":"}
_LIMIT: Final[dict[str, Any]] = {"lw": 0.8, "ls": "--", "alpha": 0.8}
_PARTS_PER_PERCENT: Final = 10_000
_MOST_NAMES: Final = 12  # in the legend


def draw(path: Path, report: RolloutReport) -> None:
    """Write the PNG."""
    mpl.use("Agg")
    figure, axes = plt.subplots(
        4, 1, figsize=(11, 11), sharex=True, layout="constrained", height_ratios=(3, 3, 2, 1.4)
    )
    harm, proof, counts, weight = axes
    _curves(harm, report, value=lambda f: f.log_e_harm, limit=lambda f: f.log_harm_limit)
    _curves(proof, report, value=lambda f: f.log_e_proof, limit=lambda f: f.log_proof_limit)
    _curves(counts, report, value=lambda f: f.samples, limit=lambda f: f.needed)
    _weight(weight, report)
    harm.set(ylabel="log e-value of harm", title=f"{report.model}, version {report.version}: {report.state}")
    proof.set(ylabel="log e-value of proof")
    counts.set(ylabel="samples")
    weight.set(ylabel="share, %", ylim=(-4, 104), xlabel="time (UTC)")
    for one in axes:
        one.grid(alpha=0.25)
        _mark_decisions(one, report)
    _name_decisions(harm, report)
    handles, names = counts.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", frameon=False, ncols=4, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _curves(
    axes: Any,
    report: RolloutReport,
    *,
    value: Callable[[Finding], float],
    limit: Callable[[Finding], float],
) -> None:
    """One curve for each rule, its limit dashed in the same colour."""
    names = list(dict.fromkeys(f.name for point in report.points for f in point.findings))
    for at, name in enumerate(names):
        seen = [(_when(p), f) for p in report.points for f in p.findings if f.name == name]
        if not any(limit(f) or value(f) for _, f in seen):
            continue
        colour = mpl.colormaps[_COLOURS](at % _COLOUR_COUNT)
        times = [when for when, _ in seen]
        label = name if at < _MOST_NAMES else None
        axes.plot(times, [value(f) for _, f in seen], color=colour, lw=1.6, label=label, marker=".", ms=3)
        if any(limit(f) for _, f in seen):
            axes.plot(times, [limit(f) for _, f in seen], color=colour, **_LIMIT)


def _weight(axes: Any, report: RolloutReport) -> None:
    times = [event.at.ToDatetime(UTC) for event in report.events]
    shares = [event.weight_ppm / _PARTS_PER_PERCENT for event in report.events]
    if times:
        axes.step(times, shares, where="post", color="#1f6f8b", lw=2)


def _mark_decisions(axes: Any, report: RolloutReport) -> None:
    for event in report.events:
        axes.axvline(event.at.ToDatetime(UTC), **_DECISION)


def _name_decisions(axes: Any, report: RolloutReport) -> None:
    for event in report.events:
        axes.annotate(
            event.trigger,
            (event.at.ToDatetime(UTC), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -2),
            textcoords="offset points",
            rotation=90,
            va="top",
            fontsize=6,
            color="#555555",
        )


def _when(point: EvidencePoint) -> datetime:
    return point.at.ToDatetime(UTC)
