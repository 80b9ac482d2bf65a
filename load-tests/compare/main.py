"""Set the peers up, measure everyone in turn, write the report. Start it by `./load-tests/compare/run`."""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from drivers import install_drivers
from forest import make_forest
from machine import commit, head, today
from plot import draw
from report import Results, page
from rounds import Pace, Referee
from scenarios import CONTESTANTS, SCENARIOS, SLIPWAY, Load, Scenario
from servers import CannotRun
from sites import Workshop
from slipway_site import LocalStack

_EPILOG: Final = """examples:
  ./load-tests/compare/run --quick                    one short round of everything, a few minutes
  ./load-tests/compare/run                            the real thing: half an hour on a quiet machine
  ./load-tests/compare/run --only gateway,ray_tuned --scenario peers
  ./load-tests/compare/run --list
"""
_QUICK: Final = Pace(rounds=1, seconds=2.0, warm_up_s=1.0)
_QUICK_LOADS: Final = (Load(in_flight=1), Load(in_flight=128))
_WARM_UP_S: Final = 3.0
_PORT_OFFSET: Final = 4000
_HOME: Final = Path(tempfile.gettempdir()) / "slipway-compare"
_RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Everything."""
    arguments = _parse()
    if arguments.list:
        print("\n".join(f"{c.name:22s}{c.title}" for c in CONTESTANTS))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    try:
        results = _measure(arguments)
    except CannotRun as error:
        sys.exit(str(error))
    _write(results, pace=_pace(arguments), folder=arguments.out)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [scenario.name for scenario in SCENARIOS]
    everyone = ",".join(contestant.name for contestant in CONTESTANTS)
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one load (5)")
    parser.add_argument("--scenario", action="append", choices=names, help="this table only; may be repeated")
    parser.add_argument("--only", default=everyone, help="contestants, with commas between; see --list")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the report (results/)")
    parser.add_argument("--home", type=Path, default=_HOME, help=f"Slipway's stack for the run ({_HOME})")
    parser.add_argument("--port-offset", type=int, default=_PORT_OFFSET, help="of its ports (4000)")
    parser.add_argument("--list", action="store_true", help="name the contestants and stop")
    arguments = parser.parse_args()
    arguments.scenario = arguments.scenario or names
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - {contestant.name for contestant in CONTESTANTS}:
        parser.error(f"unknown contestants {', '.join(sorted(unknown))}; --list names them")
    return arguments


def _pace(arguments: argparse.Namespace) -> Pace:
    if arguments.quick:
        return _QUICK
    return Pace(rounds=arguments.rounds, seconds=arguments.seconds, warm_up_s=_WARM_UP_S)


def _measure(arguments: argparse.Namespace) -> list[Results]:
    results = []
    narrowed = (_narrowed(s, arguments) for s in SCENARIOS if s.name in arguments.scenario)
    with _workshop(arguments) as workshop:
        drivers = install_drivers(workshop.cache)
        for scenario in (s for s in narrowed if s.contestants):
            _say(f"== {scenario.title}")
            referee = Referee(
                scenario=scenario, workshop=workshop, drivers=drivers, pace=_pace(arguments), say=_say
            )
            results.append(Results(scenario, referee.play()))
    return results


def _narrowed(scenario: Scenario, arguments: argparse.Namespace) -> Scenario:
    contestants = tuple(name for name in scenario.contestants if name in arguments.only)
    loads = tuple(load for load in scenario.loads if not arguments.quick or load in _QUICK_LOADS)
    return dataclasses.replace(scenario, contestants=contestants, loads=loads)


@contextmanager
def _workshop(arguments: argparse.Namespace) -> Iterator[Workshop]:
    """Folders and ports of its own, emptied before and after; a stack that runs already is left alone."""
    cache = Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway")
    workshop = Workshop(
        forest=make_forest(cache / "peers" / "model"),
        cache=cache,
        folder=Path(tempfile.mkdtemp(prefix="compare-")),
        home=arguments.home.resolve(),
        port_offset=arguments.port_offset,
    )
    stack = LocalStack(workshop)
    is_ours = any(c.site == SLIPWAY and c.name in arguments.only for c in CONTESTANTS)
    if is_ours:
        stack.empty()
    yield workshop
    shutil.rmtree(workshop.folder, ignore_errors=True)  # after a failure its logs stay
    if is_ours:
        stack.empty()


def _write(results: Sequence[Results], *, pace: Pace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{today()}-{commit()}"
    others = [measured.others for found in results for measured in found.measured]
    for found in results:
        draw(found, folder / f"{name}-{found.scenario.name}.png")
    report = folder / f"{name}.md"
    report.write_text(page(results, head=list(head(pace, others=others)), name=name))
    rows = {found.scenario.name: [dataclasses.asdict(m) for m in found.measured] for found in results}
    (folder / f"{name}.json").write_text(json.dumps(rows, indent=1))
    _say(report.read_text())
    _say(f"written to {report}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
