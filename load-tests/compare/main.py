"""Set the peers up, measure everyone in turn, write the report. Start it by `./load-tests/compare/run`."""

import argparse
import dataclasses
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from drivers import install_drivers
from heading import head
from machine import commit, today
from outcome import Outcome, write
from plot import draw
from report import Results, aimed_at, page
from rounds import Pace, Referee
from scenarios import CONTESTANTS, SCENARIOS, SLIPWAY, Load, Scenario
from servers import CannotRun
from sites import ROOT, Workshop
from slipway_site import own_workshop
from trials import TRIALS, Trial, run

_EPILOG: Final = """examples:
  ./load-tests/compare/run --quick                    one short round of both tables, a few minutes
  ./load-tests/compare/run --quick --scenario cache --scenario overload
  ./load-tests/compare/run                            the real thing: an hour on a quiet machine
  ./load-tests/compare/run --only gateway,ray_tuned --scenario peers
  ./load-tests/compare/run --scenario whole_stack --scenario peers      both tables, no other load test
  ./load-tests/compare/run --list
"""
_QUICK: Final = Pace(rounds=1, seconds=1.5, warm_up_s=1.0)
_QUICK_LOADS: Final = (Load(in_flight=1), Load(in_flight=16), Load(in_flight=128))  # those of the goals
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
    commit(), today()  # of the start: what runs is the code as it is now
    try:
        results, trials = _measure(arguments)
    except CannotRun as error:
        sys.exit(str(error))
    _keep(results, trials, pace=_pace(arguments), folder=arguments.out)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [it.name for it in (*SCENARIOS, *TRIALS)]
    everyone = ",".join(contestant.name for contestant in CONTESTANTS)
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one load (5)")
    parser.add_argument("--scenario", action="append", choices=names, help="this part only; may be repeated")
    parser.add_argument("--only", default=everyone, help="contestants, with commas between; see --list")
    parser.add_argument("--out", type=Path, help="folder of the report (results/; out/compare when quick)")
    parser.add_argument("--home", type=Path, default=_HOME, help=f"Slipway's stack for the run ({_HOME})")
    parser.add_argument("--port-offset", type=int, default=_PORT_OFFSET, help="of its ports (4000)")
    parser.add_argument("--list", action="store_true", help="name the contestants and stop")
    arguments = parser.parse_args()
    tables = [scenario.name for scenario in SCENARIOS]
    arguments.scenario = arguments.scenario or (tables if arguments.quick else names)
    arguments.only = arguments.only.split(",")
    arguments.out = arguments.out or (ROOT / "out" / "compare" if arguments.quick else _RESULTS)
    if unknown := set(arguments.only) - {contestant.name for contestant in CONTESTANTS}:
        parser.error(f"unknown contestants {', '.join(sorted(unknown))}; --list names them")
    return arguments


def _pace(arguments: argparse.Namespace) -> Pace:
    if arguments.quick:
        return _QUICK
    return Pace(rounds=arguments.rounds, seconds=arguments.seconds, warm_up_s=_WARM_UP_S)


def _measure(arguments: argparse.Namespace) -> tuple[list[Results], dict[str, Outcome]]:
    results: list[Results] = []
    outcomes: dict[str, Outcome] = {}
    scenarios = [_narrowed(s, arguments) for s in SCENARIOS if s.name in arguments.scenario]
    trials = [trial for trial in TRIALS if trial.name in arguments.scenario]
    is_ours = any(c.site == SLIPWAY and c.name in arguments.only for c in CONTESTANTS) and bool(scenarios)
    with own_workshop(arguments.home, arguments.port_offset, has_stack=is_ours or bool(trials)) as workshop:
        drivers = install_drivers(workshop.cache)
        for scenario in (s for s in scenarios if s.contestants):
            _say(f"== {scenario.title}")
            referee = Referee(
                scenario=scenario, workshop=workshop, drivers=drivers, pace=_pace(arguments), say=_say
            )
            results.append(Results(scenario, referee.play()))
        for trial in trials:
            _say(f"== {trial.title}")
            outcomes[trial.title] = _tried(trial, workshop, is_quick=arguments.quick)
    return results, outcomes


def _tried(trial: Trial, workshop: Workshop, *, is_quick: bool) -> Outcome:
    try:
        outcome = run(trial, workshop, is_quick=is_quick)
    except CannotRun as error:
        _say(f"  left out: {error}")
        return Outcome(figures=(), lines=(f"Left out: {' '.join(str(error).split())}",))
    for figure in outcome.figures:
        _say(f"  {figure.title}: {figure.measured}")
    return outcome


def _narrowed(scenario: Scenario, arguments: argparse.Namespace) -> Scenario:
    contestants = tuple(name for name in scenario.contestants if name in arguments.only)
    loads = tuple(load for load in scenario.loads if not arguments.quick or load in _QUICK_LOADS)
    return dataclasses.replace(scenario, contestants=contestants, loads=loads)


def _keep(results: Sequence[Results], trials: Mapping[str, Outcome], *, pace: Pace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{today()}-{commit()}"
    others = [measured.others for found in results for measured in found.measured]
    for found in results:
        draw(found, folder / f"{name}-{found.scenario.name}.png")
    report = folder / f"{name}.md"
    report.write_text(page(results, head=list(head(pace, others=others)), name=name, trials=trials))
    rows = {found.scenario.name: [dataclasses.asdict(m) for m in found.measured] for found in results}
    outcome = Outcome(figures=list(aimed_at(results, trials.values())), lines=())
    write(outcome, folder / f"{name}.json", measured=rows)
    _say(report.read_text())
    _say(f"written to {report}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
