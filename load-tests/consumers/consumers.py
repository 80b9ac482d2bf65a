"""How many predictions a second feedback, rollout and drift_detection keep up with, each on its own."""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
from before import CannotRun, Site, own_stack, roll_out
from consumers_page import Measured, as_json, commit, page, today
from emitted import MODELS, Emitted, emit
from turns import CONTESTANTS, PREPARED, Contestant, Profiler, play

_EPILOG: Final = """examples:
  ./load-tests/consumers/run --predictions 20000 --only feedback      a first look, half a minute
  ./load-tests/consumers/run                                          the real thing: three turns of each
  ./load-tests/consumers/run --only rollout --py-spy "$(which py-spy)" --turns 1   where the time goes
"""
_HOME: Final = Path(tempfile.gettempdir()) / "slipway-consumers"
_RESULTS: Final = Path(__file__).parent / "results"
_PORT_OFFSET: Final = 3000


def main() -> None:
    """Bring up, fill, measure, write."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    say = _counter()
    try:
        with own_stack(arguments.home.resolve(), port_offset=arguments.port_offset, say=say) as site:
            emitted, measured = asyncio.run(_measure(site, arguments, say))
    except CannotRun as error:
        sys.exit(f"\n{error}")
    text = page(measured, emitted)
    print("\n" + text)
    if arguments.out != Path("-"):
        arguments.out.mkdir(parents=True, exist_ok=True)
        name = arguments.out / f"{today()}-{commit()}"
        name.with_suffix(".md").write_text(text)
        name.with_suffix(".json").write_text(as_json(measured, emitted))
        print(f"written to {name}.md and .json")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [contestant.name for contestant in CONTESTANTS]
    parser.add_argument("--predictions", type=int, default=100_000, help="in the topic (100,000)")
    parser.add_argument("--turns", type=int, default=3, help="of each service (3)")
    parser.add_argument("--only", default=",".join(names), help=f"with commas between: {', '.join(names)}")
    parser.add_argument(
        "--out", type=Path, default=_RESULTS, help="folder of the report (results/); - is none"
    )
    parser.add_argument("--home", type=Path, default=_HOME, help=f"of the stack for the run ({_HOME})")
    parser.add_argument("--port-offset", type=int, default=_PORT_OFFSET, help="of its ports (3000)")
    parser.add_argument("--py-spy", type=Path, help="program; its stacks go to a folder beside --home")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(names):
        parser.error(f"unknown services {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


async def _measure(
    site: Site, arguments: argparse.Namespace, say: Callable[[str], None]
) -> tuple[Emitted, list[Measured]]:
    say("bringing two versions of each model on their way")
    tables = await roll_out(site, PREPARED, models=MODELS)
    emitted = await emit(site.bootstrap, tables, count=arguments.predictions, say=say)
    folder = Path(f"{arguments.home}-profiles")
    profiler = Profiler(program=arguments.py_spy, folder=folder) if arguments.py_spy else None
    chosen = [contestant for contestant in CONTESTANTS if contestant.name in arguments.only]
    measured = [
        await _turns(site, contestant, turns=arguments.turns, profiler=profiler, say=say)
        for contestant in chosen
    ]
    return emitted, measured


async def _turns(
    site: Site, contestant: Contestant, *, turns: int, profiler: Profiler | None, say: Callable[[str], None]
) -> Measured:
    others, spans = [], []
    for turn in range(turns):
        others.append(await asyncio.to_thread(psutil.cpu_percent, 1.0) / 100)
        spans.append(await play(site, contestant, turn=turn, profiler=profiler, say=say))
        say(
            f"{contestant.name}, turn {turn + 1} of {turns}: {spans[-1].cpu_us:.0f} us CPU a prediction, "
            f"{spans[-1].per_s:,.0f}/s by the clock\n"
        )
    return Measured(contestant=contestant, spans=spans, others=max(others))


def _counter() -> Callable[[str], None]:
    """Shows how far it is: on one line of a terminal, else only whole sentences."""
    is_terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        if is_terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif not text.startswith(("  ", "emitted")) or text.endswith("\n"):
            print(text.rstrip("\n"), file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    main()
