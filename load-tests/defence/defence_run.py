"""Attack, score, and write the tables."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import defence_attacks as attacks
import defence_benign as benign
import defence_detectors as detectors
from defence_data import ALL, Data, Rows
from defence_models import KINDS, Served, fit
from defence_report import report
from machine import commit, today

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done.

    Attributes:
        attacked: Rows that each attack gets.
        effort: Iterations, as a part of the whole.
    """

    attacked: int
    effort: float
    data: tuple[str, ...]
    kinds: tuple[str, ...] = KINDS


WHOLE: Final = Effort(attacked=60, effort=0.6, data=tuple(ALL))
QUICK: Final = Effort(attacked=10, effort=0.2, data=("breast_cancer",), kinds=("mlp",))


@dataclass(slots=True, kw_only=True)
class Found:
    """Everything that was measured, as it is written down."""

    attacks: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    accuracy: list[dict[str, Any]] = field(default_factory=list)


def measure(effort: Effort) -> Found:
    """Everything, one thing after the other."""
    found = Found()
    for name in effort.data:
        data = ALL[name]()
        for kind in effort.kinds:
            served = fit(data, kind)
            about = {"data": name, "model": kind}
            right = float((served.predict(data.test) == data.test_labels).mean())
            found.accuracy.append({**about, "accuracy": right})
            found.coverage += [{**about, **asdict(covered)} for covered in benign.coverage(data, served)]
            known = detectors.of(data, served)
            for attack, rows, tried in _attacked(data, served, known, effort):
                found.attacks.append({**about, "attack": attack, **_judged(known, data, rows, tried)})
                print(name, kind, attack, f"{len(rows)} of {tried}", flush=True)
    if len(effort.data) == len(ALL):
        found.drift = [{"rows": name, "share": share} for name, share in benign.drifted()]
    return found


def _attacked(
    data: Data, served: Served, known: dict[str, detectors.Detector], effort: Effort
) -> Iterator[tuple[str, Rows, int]]:
    """Each attack's name, the rows that fooled the model, and how many were tried."""
    rows = data.test[served.predict(data.test) == data.test_labels][: effort.attacked]
    answers, how = served.predict(rows), {"effort": effort.effort}
    made: dict[str, Callable[[], Rows]] = {
        "HopSkipJump": lambda: attacks.hop_skip_jump(served, rows, classes=data.classes, **how),
        "ZOO": lambda: attacks.zoo(served, rows, classes=data.classes, **how),
    }
    if served.network is not None:
        made["PGD"] = lambda: attacks.pgd(served, rows, classes=data.classes, **how)
        for target in ("density", detectors.PRODUCT):
            made[f"adaptive against {target}"] = partial(
                attacks.adaptive, served, rows, score=known[target], **how
            )
    for name, make in made.items():
        turned = make()
        yield name, turned[served.predict(turned) != answers], len(rows)
    others = data.other[: 3 * effort.attacked]
    yield "another data set", others, len(others)


def _judged(known: dict[str, detectors.Detector], data: Data, rows: Rows, tried: int) -> dict[str, Any]:
    seen = {}
    if len(rows) >= _FEWEST:
        seen = {name: asdict(detectors.judge(it, data.test, rows)) for name, it in known.items()}
    return {"succeeded": len(rows), "tried": tried, "detectors": seen}


_FEWEST: Final = 5


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one data set, few rows: a minute")
    parser.add_argument("--attacked", type=int, default=WHOLE.attacked, help="rows that each attack gets")
    parser.add_argument("--effort", type=float, default=WHOLE.effort, help="iterations, 1: as published")
    parser.add_argument("--models", nargs="+", choices=KINDS, default=KINDS, help="mlp: gradients are known")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="where the report goes")
    arguments = parser.parse_args()
    begun = time.monotonic()
    name = f"{today()}-{commit()}"
    whole = replace(
        WHOLE, attacked=arguments.attacked, effort=arguments.effort, kinds=tuple(arguments.models)
    )
    effort = QUICK if arguments.quick else whole
    found = measure(effort)
    text = report(found, sizes=asdict(effort), minutes=(time.monotonic() - begun) / 60)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{name}.md").write_text(text)
    (arguments.out / f"{name}.json").write_text(json.dumps(asdict(found), indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
