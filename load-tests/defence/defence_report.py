"""What was measured, as Markdown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from machine import commit, machine, today

if TYPE_CHECKING:
    from defence_run import Found

_AIMS: Final = {"HopSkipJump": 0.95, "ZOO": 0.95, "another data set": 0.99}
WANTED_AGREEMENT: Final = 0.8


def report(found: "Found", *, sizes: dict[str, Any], minutes: float) -> str:
    """The whole page."""
    lines = [f"# The input defence against attacks, {today()}, commit {commit()}", ""]
    lines += [f"- {machine()}; {minutes:.0f} minutes, niced, other work beside it"]
    lines += [
        f"- {sizes['attacked']} rows attacked, {sizes['effort']:g} of the attacks' iterations, up to "
        f"{sizes['stolen']} rows a client",
        "",
    ]
    lines += [*_models(found), "", *_attacks(found), "", *_thieves(found), "", *_honest(found)]
    if found.drift:
        lines += ["", *_drift(found)]
    return "\n".join(lines) + "\n"


def _models(found: "Found") -> Iterator[str]:
    yield "## Models, and prediction sets on held-out rows (target 90 %)"
    yield ""
    yield "| data | model | accuracy | covered | within 1 point | mean size of a set |"
    yield "|---|---|---|---|---|---|"
    for right, covered in zip(found.accuracy, found.coverage, strict=True):
        share = covered["coverage"]
        met = "yes" if abs(share - 0.9) <= 0.01 else "**no**"
        yield (
            f"| {right['data']} | {right['model']} | {right['accuracy']:.1%} | {share:.1%} | {met} "
            f"| {covered['size']:.2f} |"
        )


def _attacks(found: "Found") -> Iterator[str]:
    yield "## Attacks: AUROC [95 %], found at 1 % false positives"
    yield ""
    yield (
        "Only attacked rows that changed the answer count. `density` is the product's input score; the "
        "others are for comparison. Aims: 0.95 for HopSkipJump and ZOO, 0.99 for another data set; what "
        "misses one is bold."
    )
    names = sorted({name for row in found.attacks for name in row["detectors"]}, key=_order)
    yield ""
    yield f"| data | model | attack | fooled | {' | '.join(names)} |"
    yield "|---" * (4 + len(names)) + "|"
    for row in found.attacks:
        cells = [_cell(row["detectors"].get(name), aim=_AIMS.get(row["attack"])) for name in names]
        fooled = f"{row['succeeded']} of {row['tried']}"
        yield f"| {row['data']} | {row['model']} | {row['attack']} | {fooled} | {' | '.join(cells)} |"


def _order(name: str) -> tuple[bool, str]:
    return name != "density", name


def _cell(seen: dict[str, Any] | None, *, aim: float | None) -> str:
    if seen is None:
        return "-"
    auroc = f"{seen['auroc']:.3f}"
    if aim is not None and seen["auroc"] < aim:
        auroc = f"**{auroc}**"
    return f"{auroc} [{seen['low']:.2f}, {seen['high']:.2f}], {seen['detected']:.0%}"


def _thieves(found: "Found") -> Iterator[str]:
    yield "## Extraction: the alarm, and the clone"
    yield ""
    yield (
        "The clone is the better of a linear model and a forest, trained on what was asked; agreement is "
        "with the model's answers on held-out rows. Aim: the alarm comes before 80 %."
    )
    yield ""
    yield "| data | model | thief | rows until alarm | signal | agreement then | 80 % after | in time |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in (each for each in found.clients if each["kind"] == "thief"):
        at = f"{row['alarm_at']}" if row["alarm_at"] else f"none in {row['asked']}"
        in_time = row["agreement"] < WANTED_AGREEMENT
        yield (
            f"| {row['data']} | {row['model']} | {row['client']} | {at} | {row['signal'] or '-'} "
            f"| {row['agreement']:.0%} | {row['wanted_at'] or 'never'} | {'yes' if in_time else '**no**'} |"
        )


def _honest(found: "Found") -> Iterator[str]:
    yield "## Honest callers"
    yield ""
    yield "| data | model | caller | rows | alarm |"
    yield "|---|---|---|---|---|"
    for row in (each for each in found.clients if each["kind"] == "honest"):
        alarm = f"**after {row['alarm_at']} rows: {row['signal']}**" if row["alarm_at"] else "none"
        yield f"| {row['data']} | {row['model']} | {row['client']} | {row['asked']} | {alarm} |"


def _drift(found: "Found") -> Iterator[str]:
    yield "## Benign drift: rows of Elec2 whose input score is above 1, threshold at 1 %"
    yield ""
    yield "| rows | called suspicious |"
    yield "|---|---|"
    for row in found.drift:
        yield f"| {row['rows']} | {row['share']:.1%} |"
