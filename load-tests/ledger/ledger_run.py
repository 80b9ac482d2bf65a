"""A million requests, a broker that restarts, a gateway that is killed: is every answer recorded once?"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import uvloop
from forest import MODEL, Forest, make_forest
from ledger_audit import judge, read_topic
from ledger_client import Load, drive
from ledger_faults import Saboteur, plan
from ledger_files import Ledger, fresh, resumed
from ledger_report import facts, page
from servers import CannotRun, wait_until
from sites import LOOPBACK, ROOT, Workshop, grpc_is_right
from slipway_site import LocalStack

from slipway.ports import ports
from slipway.stack.stack import build_stack
from slipway.stack.supervision import Supervision

_EPILOG: Final = """examples:
  ./load-tests/ledger/run --requests 20000             a few minutes: does it work?
  ./load-tests/ledger/run                              a million, 5 kills, 3 restarts of the broker
  ./load-tests/ledger/run --kafka-away 300             and Kafka gone for five minutes in between
  ./load-tests/ledger/run --kafka-away 60 --spool-limit-mib 32 --when-records-full count
  ./load-tests/ledger/run --resume                     go on with a run that was broken off
"""
_NEEDED: Final = ("gateway", "inference", "rollout")
_HOME: Final = Path(tempfile.gettempdir()) / "slipway-ledger"
_RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    """Everything; exits with 1 where the invariant is broken."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack is stopped too
    if arguments.spool_limit_mib:
        segment_bytes = min(16, arguments.spool_limit_mib // 2) * 2**20
        os.environ["SLIPWAY_SEGMENT_BYTES"] = str(segment_bytes)
        os.environ["SLIPWAY_SPOOL_LIMIT_BYTES"] = str(arguments.spool_limit_mib * 2**20)
    workshop = _workshop(arguments)
    os.environ["SLIPWAY_HOME"] = str(workshop.home)  # for what looks at the stack from in here
    os.environ["SLIPWAY_PORT_OFFSET"] = str(workshop.port_offset)
    stack = LocalStack(workshop)
    state = ROOT / "out" / "ledger"
    try:
        if not arguments.resume:
            stack.empty()
        ledger = resumed(state) if arguments.resume else fresh(state)
        try:
            result = _measure(arguments, workshop, stack=stack, ledger=ledger)
        finally:
            stack.tell("down")
    except (CannotRun, FileNotFoundError) as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("broken off; `--resume` goes on with it")
    if not arguments.keep:
        stack.empty()
    _write(result, folder=arguments.out)
    sys.exit(0 if result["verdict"]["is_kept"] else 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000, help="answers to collect (1,000,000)")
    parser.add_argument("--in-flight", type=int, default=64, help="requests at once (64)")
    parser.add_argument("--gateway-kills", type=int, default=5, help="kill -9 of the gateway (5)")
    parser.add_argument("--broker-restarts", type=int, default=3, help="restarts of Kafka (3)")
    parser.add_argument(
        "--kafka-away", type=float, default=0.0, metavar="S", help="and once gone for S seconds"
    )
    parser.add_argument("--recording", default="standard", choices=("standard", "fsync", "broker"))
    parser.add_argument("--when-records-full", default="refuse", choices=("refuse", "count"))
    parser.add_argument("--spool-limit-mib", type=int, default=0, help="smaller than the gateway's own 1,024")
    parser.add_argument("--resume", action="store_true", help="go on with the run that was broken off")
    parser.add_argument("--keep", action="store_true", help="leave the stack's state for a look at the topic")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the report (results/)")
    parser.add_argument("--home", type=Path, default=_HOME, help=f"of the stack for the run ({_HOME})")
    parser.add_argument("--port-offset", type=int, default=4200, help="of its ports (4200)")
    return parser.parse_args()


def _workshop(arguments: argparse.Namespace) -> Workshop:
    """A stack of its own, on ports of its own; a stack that runs already is left alone."""
    cache = Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway")
    return Workshop(
        forest=_forest(cache / "peers" / "ledger-model", arguments),
        cache=cache,
        folder=ROOT / "out" / "ledger",
        home=arguments.home.resolve(),
        port_offset=arguments.port_offset,
    )


def _forest(folder: Path, arguments: argparse.Namespace) -> Forest:
    forest = make_forest(folder)
    words = f"recording: {arguments.recording}, when_records_full: {arguments.when_records_full}"
    text = forest.spec.read_text()
    forest.spec.write_text(text.replace("serving: {", f"serving: {{{words}, "))
    return forest


def _measure(
    arguments: argparse.Namespace, workshop: Workshop, *, stack: LocalStack, ledger: Ledger
) -> dict[str, Any]:
    _say("        bringing the stack up")
    stack.tell("up", *_NEEDED)
    stack.champion()
    target = stack.gateway()
    wait_until(lambda: grpc_is_right(target, workshop.forest), log=stack.log("gateway"))
    load = Load(
        address=target.address,
        metadata=tuple(target.metadata.items()),
        body=target.body.read_bytes(),
        requests=arguments.requests,
        in_flight=arguments.in_flight,
    )
    parts = stack.running_parts()
    uvloop.run(_load(arguments, load, ledger=ledger))
    _say("        waiting until all records are shipped")
    wait_until(target.settled, log=stack.log("gateway"))
    records = uvloop.run(read_topic(f"{LOOPBACK}:{ports()['kafka']}", say=_say))
    verdict = judge(ledger.answers(), ledger.failures(), records)
    return {
        "facts": facts(
            {k: v for k, v in vars(arguments).items() if not isinstance(v, Path | bool)}, parts=parts
        ),
        "model": MODEL,
        "verdict": verdict.as_dict(),
        "codes": dict(ledger.codes),
        "seconds": round(ledger.seconds, 1),
        "rate_per_s": ledger.answered / max(ledger.seconds, 0.001),
        "faults": ledger.faults,
    }


async def _load(arguments: argparse.Namespace, load: Load, *, ledger: Ledger) -> None:
    faults = plan(
        arguments.requests,
        broker_restarts=arguments.broker_restarts,
        gateway_kills=arguments.gateway_kills,
        is_kafka_away=arguments.kafka_away > 0,
    )
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    saboteur = Saboteur(
        Supervision(build_stack()),
        ledger,
        requests=arguments.requests,
        away_s=arguments.kafka_away,
        say=_say,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(saboteur.strike(fault for fault in faults if fault.at > ledger.answered))
        group.create_task(drive(load, ledger, say=_say))


def _write(result: dict[str, Any], *, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = result["facts"]
    name = f"{about['date'][:10]}-{about['commit']}-{about['arguments']['requests']}"
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1))
    (folder / f"{name}.md").write_text(page(result))
    _say(page(result))
    _say(f"written to {folder / name}.md")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
