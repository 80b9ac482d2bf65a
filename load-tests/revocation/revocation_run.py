"""How long a revoked API key is still let through."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from machine import about, commit, today
from outcome import MISSED, Outcome, table, write
from revocation_doors import check_spread, doors, make_key, revoke, without_kafka
from revocation_judge import SERVICES, WORKERS, Outage, Revocation, figures_of, page
from rollouts_site import own_stack
from servers import CannotRun, busy_share

from slipway.cli.control_plane import ControlPlane

_EPILOG: Final = """examples:
  ./load-tests/revocation/run --quick           does it work? two minutes
  ./load-tests/revocation/run                   30 revocations, and 3 with Kafka away
  ./load-tests/revocation/run --rounds 100
"""
_HOME: Final = Path(tempfile.gettempdir()) / "slipway-revocation"
_RESULTS: Final = Path(__file__).parent / "results"
_PARTS: Final = (*WORKERS, *SERVICES)
_OUTAGE_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run."""

    revocations: tuple[Revocation, ...]
    outage: Outage
    connections: dict[str, int]


def main() -> None:
    """Measure, write, and fail where the figure is missed."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack is stopped too
    before = busy_share()
    try:
        print("bringing the stack up", flush=True)
        with own_stack(arguments.home.resolve(), port_offset=arguments.port_offset, parts=_PARTS):
            others = busy_share()
            found = asyncio.run(_measure(arguments.rounds))
    except CannotRun as error:
        sys.exit(str(error))
    outcome = Outcome(figures=figures_of(found.revocations), lines=page(found.revocations, found.outage))
    where = f"- load average {', '.join(f'{it:.1f}' for it in os.getloadavg())} at the end"
    doors_said = ", ".join(f"{name} {count}" for name, count in found.connections.items())
    head = [*about([before, others]), where, f"- connections to the gateways, by worker: {doors_said}", ""]
    outcome = replace(outcome, lines=[*head, *outcome.lines])
    lines = [*outcome.lines, "", *table(outcome.figures)]
    print("\n".join(lines))
    if arguments.json:
        write(outcome, arguments.json, **asdict(found))
    if not arguments.quick:
        _keep(arguments.out, lines, found)
    if any(it.is_met is False for it in outcome.figures):
        sys.exit(MISSED)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: does it work?")
    parser.add_argument("--rounds", type=int, default=30, help="revocations (30)")
    parser.add_argument("--json", type=Path, help="also write the outcome there")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the report (results/)")
    parser.add_argument("--home", type=Path, default=_HOME, help=f"of the stack for the run ({_HOME})")
    parser.add_argument("--port-offset", type=int, default=4400, help="of its ports (4400)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 3
    return arguments


async def _measure(rounds: int) -> Measured:
    plane, revocations, spread = ControlPlane(), [], {}
    async with doors(plane) as open_doors:
        for number in range(rounds):
            key = await make_key(plane, open_doors)
            spread = check_spread()
            revocations.append(await revoke(plane, key, open_doors))
            print(f"{number + 1}: {max(revocations[-1].sent_s.values()):.2f} s", flush=True)
        outage = await without_kafka(plane, open_doors, rounds=_OUTAGE_ROUNDS)
    return Measured(revocations=tuple(revocations), outage=outage, connections=spread)


def _keep(folder: Path, lines: list[str], found: Measured) -> None:
    name = folder / f"{today()}-{commit()}"
    folder.mkdir(parents=True, exist_ok=True)
    head = [f"# Revocation, {today()}, commit {commit()}", ""]
    name.with_suffix(".md").write_text("\n".join([*head, *lines]) + "\n")
    name.with_suffix(".json").write_text(json.dumps(asdict(found), indent=1) + "\n")
    print(f"written to {name}.md and .json", flush=True)


if __name__ == "__main__":
    main()
