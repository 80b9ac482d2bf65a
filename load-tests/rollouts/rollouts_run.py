"""Rollouts under load, and hundreds of them at once."""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import uvloop
from machine import about, commit, today
from outcome import MISSED, Outcome, table, write
from rollouts_judge import Live, Many, figures_of, page
from rollouts_live import Plan
from rollouts_live import measure as measure_live
from rollouts_many import measure as measure_many
from rollouts_site import live_site, own_stack
from servers import CannotRun, busy_share

from slipway.stack.environment import apply_cli_environment

_EPILOG: Final = """examples:
  ./load-tests/rollouts/run --quick                      does it work? some minutes
  ./load-tests/rollouts/run                              50 rollouts and rollbacks, 200 rollouts at once
  ./load-tests/rollouts/run --only many --models 400     how far does one controller go?
"""
_HOME: Final = Path(tempfile.gettempdir()) / "slipway-rollouts"
_RESULTS: Final = Path(__file__).parent / "results"
_PARTS: Final = ("live", "many")


def main() -> None:
    """Measure, write, and fail where a figure is missed."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack is stopped too
    others = busy_share()
    try:
        live = _live(arguments) if "live" in arguments.only else None
        many = _many(arguments) if "many" in arguments.only else []
    except CannotRun as error:
        sys.exit(str(error))
    outcome = Outcome(figures=figures_of(live, many), lines=page(live, many))
    outcome = replace(outcome, lines=[*about([others]), "", *outcome.lines])
    print("\n".join([*outcome.lines, "", *table(outcome.figures)]))
    _write(arguments, outcome, live=live, many=many)
    if any(it.is_met is False for it in outcome.figures):
        sys.exit(MISSED)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, few models: does it work?")
    parser.add_argument("--only", default=",".join(_PARTS), help="live, many, or both with a comma between")
    parser.add_argument("--per-s", type=float, default=1000.0, help="requests a second at most (1000)")
    parser.add_argument("--rounds", type=int, default=50, help="rollouts and rollbacks in a row (50)")
    parser.add_argument("--repeats", type=int, default=5, help="of each decision by the clock (5)")
    parser.add_argument("--models", type=int, default=200, help="rollouts at once (200)")
    parser.add_argument("--stuck", type=int, default=20, help="stuck ones beside them (20)")
    parser.add_argument("--json", type=Path, help="also write the outcome there")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the report (results/)")
    parser.add_argument("--home", type=Path, default=_HOME, help=f"of the stack for the run ({_HOME})")
    parser.add_argument("--port-offset", type=int, default=4400, help="of its ports (4400)")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(_PARTS):
        parser.error(f"unknown parts {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    if arguments.quick:
        arguments.rounds, arguments.repeats, arguments.models, arguments.stuck = 4, 2, 40, 5
    return arguments


def _live(arguments: argparse.Namespace) -> Live:
    _say("        bringing the stack up")
    plan = Plan(
        per_s=arguments.per_s,
        repeats=arguments.repeats,
        rounds=arguments.rounds,
        warm_up_s=2.0 if arguments.quick else 10.0,
    )
    with live_site(arguments.home.resolve(), port_offset=arguments.port_offset) as site:
        return uvloop.run(measure_live(site, plan, say=_say))


def _many(arguments: argparse.Namespace) -> list[Many]:
    _say("        starting Kafka and PostgreSQL")
    home = arguments.home.resolve()
    with own_stack(home, port_offset=arguments.port_offset, parts=("kafka", "postgres")):
        apply_cli_environment()
        return [measure_many(arguments.models, stuck, say=_say) for stuck in (0, arguments.stuck)]


def _write(arguments: argparse.Namespace, outcome: Outcome, *, live: Live | None, many: list[Many]) -> None:
    more = {"live": asdict(live) if live else None, "many": [asdict(it) for it in many]}
    if arguments.json:
        write(outcome, arguments.json, **more)
    if arguments.quick:
        return
    name = arguments.out / f"{today()}-{commit()}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    head = [f"# Rollouts under load, {today()}, commit {commit()}", ""]
    lines = [*head, *outcome.lines, "", *table(outcome.figures)]
    name.with_suffix(".md").write_text("\n".join(lines) + "\n")
    name.with_suffix(".json").write_text(json.dumps(more, indent=1) + "\n")
    _say(f"written to {name}.md and .json")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
