"""How often each rule takes a harmless version back, and how soon a harmful one is seen."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from cases import Crossings, crossed_share, quantile
from matplotlib.figure import Figure

FALSE = {
    "+2 points,\nthree checks": "usual rule (+2 points, three checks), equal, 10 %",
    "z-test, read\n100 times": "z-test at 5 % read every 100 requests, equal, 10 %",
    "e-value,\nsteady": "bad events, equal, 10 %, base 0.20",
    "e-value, ramp\nand drift": "bad events, equal, 5 to 50 %, base 0.05 to 0.35",
    "3 guardrails,\nramp and drift": "three guardrails, equal, 5 to 50 %, drifting",
}
SEEN = {
    "canary 10 %, errors 0.20 to 0.40": "bad events, 0.20 to 0.40, 10 %",
    "canary 10 %, errors 0.20 to 0.30": "bad events, 0.20 to 0.30, 10 %",
    "shadow, 2 points worse": "shadow, 2 points worse, 10 % discordant",
    "shadow, equal: proven within 2 points": "shadow proof within 2 points, equal",
}


def draw(crossings: dict[str, Crossings], path: Path) -> None:
    """Two panels, as SVG."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "slipway", "svg.fonttype": "none"})
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares = [100 * crossed_share(crossings[name]) for name in FALSE.values()]
    bars = left.bar(list(FALSE), shares, color=["#b55", "#b55", "#37a", "#37a", "#37a"])
    left.bar_label(bars, fmt="%.1f %%", padding=7)
    left.axhline(5, color="#222", lw=0.8, ls="--")
    left.set(ylabel="harmless versions taken back, %", title="10,000 requests, nothing is wrong")
    left.tick_params(axis="x", labelsize="small")
    steps = np.arange(0.01, 1, 0.01)
    for label, name in SEEN.items():
        right.plot([quantile(crossings[name], q) for q in steps], 100 * steps, label=label)
    right.set(
        xscale="log", xlabel="requests, or labelled pairs", ylabel="runs, %", title="seen or proven by then"
    )
    right.grid(visible=True, which="both", alpha=0.2)
    right.legend(fontsize="small", loc="lower right")
    path.parent.mkdir(exist_ok=True, parents=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
