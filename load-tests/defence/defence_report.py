"""What was measured, as Markdown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from machine import commit, machine, today

if TYPE_CHECKING:
    from defence_run import Found

_AIMS: Final = {"HopSkipJump": 0.95, "ZOO": 0.95, "another data set": 0.99}
_POINT: Final = 0.01


def report(found: "Found", *, sizes: dict[str, Any], minutes: float) -> str:
    """The whole page."""
    lines = [f"# The input defence against attacks, {today()}, commit {commit()}", ""]
    lines += [f"- {machine()}; {minutes:.0f} minutes, niced, other work beside it"]
    lines += [
        f"- {sizes['attacked']} rows attacked, {sizes['effort']:g} of the attacks' iterations",
        "",
    ]
    lines += [*_models(found), "", *_attacks(found), "", *_false(found)]
    if found.drift:
        lines += ["", *_drift(found)]
    return "\n".join(lines) + "\n"


def _models(found: "Found") -> Iterator[str]:
    yield "## Models, and prediction sets on held-out rows (target 90 %, 60 splits)"
    yield ""
    yield "| data | model | accuracy | sets | covered | within 1 point | a split is off by | theory | size |"
    yield "|---|---|---|---|---|---|---|---|---|"
    right = {(row["data"], row["model"]): row["accuracy"] for row in found.accuracy}
    for row in found.coverage:
        share = row["coverage"]
        met = "yes" if abs(share - 0.9) <= _POINT else "**no**"
        yield (
            f"| {row['data']} | {row['model']} | {right[row['data'], row['model']]:.1%} | {row['method']} "
            f"| {share:.1%} | {met} | {row['spread']:.1%} | {row['expected']:.1%} | {row['size']:.2f} |"
        )


def _attacks(found: "Found") -> Iterator[str]:
    yield "## Attacks: AUROC [95 %], found at 1 % false positives"
    yield ""
    yield (
        "Only attacked rows that changed the answer count. `input score` is the product's: the larger of "
        "`density` and `agreement`; the others are for comparison. Aims: 0.95 for "
        "HopSkipJump and ZOO, 0.99 for another data set; what misses one is bold."
    )
    names = _names(found)
    yield ""
    yield f"| data | model | attack | fooled | {' | '.join(names)} |"
    yield "|---" * (4 + len(names)) + "|"
    for row in found.attacks:
        cells = [_cell(row["detectors"].get(name), aim=_AIMS.get(row["attack"])) for name in names]
        fooled = f"{row['succeeded']} of {row['tried']}"
        yield f"| {row['data']} | {row['model']} | {row['attack']} | {fooled} | {' | '.join(cells)} |"


def _false(found: "Found") -> Iterator[str]:
    yield "## Held-out rows that are called suspicious, thresholds at 1 %"
    yield ""
    names = _names(found)
    yield f"| data | model | {' | '.join(names)} |"
    yield "|---" * (2 + len(names)) + "|"
    for row in found.attacks:
        if row["attack"] == "another data set":
            seen = [row["detectors"].get(name) for name in names]
            shares = ["-" if each is None else f"{each['false_positives']:.1%}" for each in seen]
            yield f"| {row['data']} | {row['model']} | {' | '.join(shares)} |"


def _names(found: "Found") -> list[str]:
    return sorted({name for row in found.attacks for name in row["detectors"]}, key=_order)


def _order(name: str) -> tuple[bool, str]:
    return name != "input score", name


def _cell(seen: dict[str, Any] | None, *, aim: float | None) -> str:
    if seen is None:
        return "-"
    auroc = f"{seen['auroc']:.3f}"
    if aim is not None and seen["auroc"] < aim:
        auroc = f"**{auroc}**"
    return f"{auroc} [{seen['low']:.2f}, {seen['high']:.2f}], {seen['detected']:.0%}"


def _drift(found: "Found") -> Iterator[str]:
    yield "## Benign drift: rows of Elec2 whose input score is above 1, threshold at 1 %"
    yield ""
    yield "| rows | called suspicious |"
    yield "|---|---|"
    for row in found.drift:
        yield f"| {row['rows']} | {row['share']:.1%} |"
