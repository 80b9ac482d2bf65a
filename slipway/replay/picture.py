"""The replay as a picture: accuracy over time, alarms and versions marked."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from slipway.replay.journal import Entry
from slipway.replay.ledger import Ledger, rolling_share

WINDOW_ROWS: Final = 1000
_CLOSED: Final[dict[str, Any]] = {"color": "#1f6f8b", "lw": 2, "label": "closed loop"}
_FROZEN: Final[dict[str, Any]] = {"color": "#b0b0b0", "lw": 1.6, "label": "first version, frozen"}
_ALARM, _VERSION = "#d1495b", "#3b7d4f"


def draw(path: Path, *, title: str, ledger: Ledger, entries: list[Entry]) -> None:
    """Write the PNG."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(12, 5.2), layout="constrained")
    window = min(WINDOW_ROWS, max(50, ledger.sent // 10))
    for answers, style in ((ledger.frozen, _FROZEN), (ledger.predicted, _CLOSED)):
        share = rolling_share(ledger.hits(answers), window=window)
        # The first rows have no whole window behind them: a mean of three rows says nothing.
        axes.plot(np.arange(window, ledger.sent), share[window:], **style)
    _mark_alarms(axes, entries)
    _mark_versions(axes, entries)
    axes.set(xlabel="row of the stream", ylabel=f"accuracy, last {window} rows", title=title)
    axes.margins(x=0.005)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", frameon=False, ncols=4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _mark_alarms(axes: Any, entries: list[Entry]) -> None:
    rows = [e.row for e in entries if e.kind == "alarm"]
    for i, row in enumerate(rows):
        axes.axvline(row, color=_ALARM, lw=0.8, alpha=0.45, ls=":", label="alarm" if i == 0 else None)


def _mark_versions(axes: Any, entries: list[Entry]) -> None:
    """A triangle where a version took all traffic, with its number."""
    served = [e for e in entries if e.kind == "rollout" and e.state == "BAKE"]
    top = axes.get_ylim()[1]
    if served:
        axes.plot(
            [e.row for e in served],
            [top] * len(served),
            "v",
            color=_VERSION,
            ms=7,
            clip_on=False,
            label="new version",
        )
    crowded = len(served) > 25
    for entry in served[:: 5 if crowded else 1]:
        axes.annotate(
            f"v{entry.version}",
            (entry.row, top),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=_VERSION,
            annotation_clip=False,
        )
