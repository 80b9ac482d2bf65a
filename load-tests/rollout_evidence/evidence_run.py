"""Simulate every case and write the table, the figures and the picture."""

import argparse
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cases import CASES, Case, Crossings, crossed_share, quantile
from picture import draw

ROOT = Path(__file__).resolve().parents[2]
TITLES = (
    (True, "nothing is wrong", "cried within the run"),
    (False, "something is to be seen", "seen within the run"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One simulated case."""

    case: Case
    crossings: Crossings


def table(results: list[Result], *, is_null: bool, title: str, column: str) -> list[str]:
    """The Markdown table of one kind of cases."""
    lines = [
        f"| {title} | requests or pairs | runs | {column} | median | 90 % within |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        if result.case.is_null is is_null:
            seen = crossed_share(result.crossings)
            at = [quantile(result.crossings, share) for share in (0.5, 0.9)]
            told = [f"{x:,.0f}" if x != float("inf") else "-" for x in at]
            lines.append(
                f"| {result.case.name} | {result.case.requests:,} | {len(result.crossings):,} | {seen:.1%} "
                f"| {told[0]} | {told[1]} |"
            )
    return lines


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--picture", type=Path, default=ROOT / "out" / "rollout-evidence.svg")
    arguments = parser.parse_args()
    begun = time.process_time()
    results = [Result(case=case, crossings=case.run(arguments.runs)) for case in CASES]
    for is_null, title, column in TITLES:
        print("\n".join(table(results, is_null=is_null, title=title, column=column)), end="\n\n")
    print(f"{time.process_time() - begun:.0f} s of one core")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    out = ROOT / "out" / "rollout-evidence.json"
    out.parent.mkdir(exist_ok=True)
    figures = {
        r.case.name: {
            "seed": r.case.seed,
            "crossed": crossed_share(r.crossings),
            "quantiles": {q: str(quantile(r.crossings, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)},
        }
        for r in results
    }
    out.write_text(json.dumps({"commit": commit, "runs": arguments.runs, "cases": figures}, indent=1))
    draw({r.case.name: r.crossings for r in results}, arguments.picture)


if __name__ == "__main__":
    main()
