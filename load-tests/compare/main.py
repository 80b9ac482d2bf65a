"""Set the peers up, measure everyone in turn, write the report. Start it by `./load-tests/compare/run`."""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drivers import install_drivers
from forest import make_forest
from machine import commit, head, today
from plot import draw
from report import Results, page
from rounds import Measured, Pace, Referee
from scenarios import CONTESTANTS, SCENARIOS, Load, Scenario
from servers import CannotRun
from sites import Workshop

_EPILOG: Final = """examples:
  ./load-tests/compare/run --quick                    one short round of everything, a few minutes
  ./load-tests/compare/run                            the real thing: half an hour on an idle machine
  ./load-tests/compare/run --only gateway,ray_tuned --scenario peers
  ./load-tests/compare/run --list
"""
_QUICK: Final = Pace(rounds=1, seconds=2.0, warm_up_s=1.0)
_QUICK_LOADS: Final = (Load(in_flight=1), Load(in_flight=128))
_PORT_OFFSET: Final = 4000
_RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Everything."""
    arguments = _parse()
    if arguments.list:
        print("\n".join(f"{c.name:22s}{c.title}" for c in CONTESTANTS))
        return
    only = tuple(arguments.only.split(",")) if arguments.only else tuple(c.name for c in CONTESTANTS)
    scenarios = [
        _narrowed(s, only, is_quick=arguments.quick) for s in SCENARIOS if s.name in arguments.scenario
    ]
    pace = (
        _QUICK if arguments.quick else Pace(rounds=arguments.rounds, seconds=arguments.seconds, warm_up_s=3)
    )
    workshop = _workshop()
    try:
        drivers = install_drivers(workshop.cache)
    except CannotRun as error:
        sys.exit(str(error))
    results = []
    for scenario in scenarios:
        if scenario.contestants:
            print(f"== {scenario.title}", flush=True)
            referee = Referee(
                scenario=scenario,
                workshop=workshop,
                drivers=drivers,
                pace=pace,
                say=lambda t: print(t, flush=True),
            )
            results.append(Results(scenario, referee.play()))
    _write(results, pace=pace, folder=arguments.out)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one load (5)")
    parser.add_argument("--scenario", action="append", choices=names, help="this table only; may be repeated")
    parser.add_argument("--only", default="", help="contestants, with commas between; see --list")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the report (results/)")
    parser.add_argument("--list", action="store_true", help="name the contestants and stop")
    arguments = parser.parse_args()
    arguments.scenario = arguments.scenario or names
    known = {contestant.name for contestant in CONTESTANTS}
    if unknown := set(filter(None, arguments.only.split(","))) - known:
        parser.error(f"unknown contestants {', '.join(sorted(unknown))}; --list names them")
    return arguments


def _narrowed(scenario: Scenario, only: Sequence[str], *, is_quick: bool) -> Scenario:
    contestants = tuple(name for name in scenario.contestants if name in only)
    loads = tuple(load for load in scenario.loads if not is_quick or load in _QUICK_LOADS)
    return dataclasses.replace(scenario, contestants=contestants, loads=loads)


def _workshop() -> Workshop:
    """Folders and ports of its own: a stack that runs already is left alone."""
    cache = Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway")
    home = Path(os.environ.get("SLIPWAY_HOME") or Path(tempfile.gettempdir()) / "slipway-compare")
    return Workshop(
        forest=make_forest(cache / "peers" / "model"),
        cache=cache,
        folder=Path(tempfile.mkdtemp(prefix="compare-")),
        home=home,
        port_offset=int(os.environ.get("SLIPWAY_PORT_OFFSET") or _PORT_OFFSET),
    )


def _write(results: Sequence[Results], *, pace: Pace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{today()}-{commit()}"
    averages = [m.load_average for found in results for m in found.measured if m.figures]
    plot = folder / f"{name}.png"
    if results:
        draw(results[0], plot)
    report = folder / f"{name}.md"
    report.write_text(page(results, head=list(head(pace, load_averages=averages)), plot=plot.name))
    rows = {found.scenario.name: [_plain(m) for m in found.measured] for found in results}
    (folder / f"{name}.json").write_text(json.dumps(rows, indent=1))
    print(report.read_text())
    print(f"written to {report}")


def _plain(measured: Measured) -> dict[str, object]:
    return dataclasses.asdict(measured)


if __name__ == "__main__":
    main()
