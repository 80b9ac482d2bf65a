#!/usr/bin/env python3
"""Cache hits against computing: one gateway, one model that takes 5 ms a row, known by three names.

`off` is never cached; `hits` is asked the same hundred questions again and again; `new` is asked each
question once, so that the cache only costs. Turn by turn, closed loop, one row of 30 features a request,
four connections.

Examples:
  load-tests/cache/run
  load-tests/cache/run --quick
"""

import argparse
import dataclasses
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import goals
import grpc
import numpy as np
from drivers import Drivers, Target, install_drivers
from google.protobuf import json_format
from machine import about
from outcome import MISSED, Outcome, figure, table, write
from readings import Figures
from scenarios import Load
from servers import busy_share
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway.stack.environment import cli_environment
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, request, upstream
from tests.gateway.redis_process import redis_process
from tests.service_process import free_port, own_database, own_service

COLUMNS: Final = tuple(f"f{n}" for n in range(30))
IN_FLIGHT: Final = (1, 16, 32, 128)
JUDGED_AT: Final = 128
WANTED: Final = 10.0
ROW_COST_S: Final = 0.005
QUESTIONS: Final = 100
NEW_PER_S: Final = 1000  # more than the version can answer, so that none is asked twice
SERVING: Final = "max_batch_rows: 64, max_queued_rows: 4096, timeout_ms: 30000"
TTL_S: Final = {"off": 0, "hits": 3600, "new": 3600}
WARM_UP: Final = Load(in_flight=16)
WARM_UP_S: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One load of one name: medians over the rounds."""

    in_flight: int
    kind: str
    rate_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def make_model(path: Path) -> None:
    """A small classifier: the upstream's delay is what costs."""
    rows = np.random.default_rng(0).random((200, len(COLUMNS)), dtype=np.float32)
    model = LogisticRegression().fit(rows, (rows[:, 0] > 0.5).astype(int))
    path.write_bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())


def write_questions(path: Path, model: str, count: int, *, seed: int | None) -> Path:
    """Requests of one row each, as ghz reads them: a list, of which it sends one after the other."""
    rng = np.random.default_rng(seed)
    asked = (request(model, rng.random((1, len(COLUMNS)), dtype=np.float32)) for _ in range(count))
    said = [json_format.MessageToDict(it, preserving_proto_field_name=True) for it in asked]
    path.write_text(json.dumps(said))
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is loaded, with what, from where."""

    gateways: Mapping[str, Gateway]
    drivers: Drivers
    folder: Path

    def load(self, kind: str, load: Load, *, seconds: float) -> Figures:
        """A closed loop against one of the names."""
        gateway = self.gateways[kind]
        count, seed = (int(seconds * NEW_PER_S), None) if kind == "new" else (QUESTIONS, 0)
        body = write_questions(self.folder / f"{kind}.json", gateway.model, count, seed=seed)
        target = Target(address=gateway.target, body=body, metadata=dict(gateway.metadata))
        return self.drivers.grpc(target, load, seconds=seconds)


def compare(bench: Bench, in_flight: Sequence[int], *, rounds: int, seconds: float) -> list[Row]:
    """Medians over the rounds, for each name and each number in flight."""
    for kind in ("off", "hits"):
        bench.load(kind, WARM_UP, seconds=WARM_UP_S)
    rows = []
    for number in in_flight:
        found: dict[str, list[Figures]] = {kind: [] for kind in bench.gateways}
        for turn in range(rounds):
            kinds = list(bench.gateways)
            for kind in kinds if turn % 2 == 0 else reversed(kinds):
                found[kind].append(bench.load(kind, Load(in_flight=number), seconds=seconds))
        rows += [_medians(number, kind, them) for kind, them in found.items()]
    return rows


def _medians(in_flight: int, kind: str, them: Sequence[Figures]) -> Row:
    columns = ("rate_per_s", "p50_ms", "p99_ms")
    medians = {name: statistics.median(getattr(it, name) for it in them) for name in columns}
    return Row(in_flight=in_flight, kind=kind, errors=sum(it.errors for it in them), **medians)


def judge(rows: Sequence[Row]) -> Outcome:
    """The table, and the ratio that counts."""
    off = {row.in_flight: row.rate_per_s for row in rows if row.kind == "off"}
    lines = [
        "",
        "| in flight | cache | answers/s | p50 ms | p99 ms | errors | x off |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {it.in_flight} | {it.kind} | {it.rate_per_s:,.0f} | {it.p50_ms:.2f} | {it.p99_ms:.2f} | "
        f"{it.errors} | {it.rate_per_s / off[it.in_flight]:.1f} |"
        for it in rows
    ]
    hits = next(row for row in rows if (row.in_flight, row.kind) == (JUDGED_AT, "hits"))
    ratio = hits.rate_per_s / off[JUDGED_AT]
    met = figure(goals.CACHE_HITS, f"{ratio:.1f} x", is_met=ratio >= WANTED)
    return Outcome(figures=(met,), lines=lines)


def published(first: Gateway, port: int) -> dict[str, Gateway]:
    """The three names of the model, each with routes that are in force."""
    found = {}
    for kind, ttl_s in TTL_S.items():
        gateway = Gateway(
            service=first.service,
            model=f"cache-load-{kind}-{secrets.token_hex(3)}",
            key=first.key,
            serving=f"{SERVING}, cache_ttl_s: {ttl_s}",
            columns=COLUMNS,
        )
        target = f"127.0.0.1:{port}"
        champion = Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000)
        gateway.publish(champion)
        found[kind] = gateway
    return found


def wait_known(gateways: Mapping[str, Gateway]) -> None:
    """Until each of them answers."""
    for gateway in gateways.values():
        row = np.full((1, len(COLUMNS)), 0.5)
        end_s = time.monotonic() + 60
        while True:
            try:
                gateway.infer(row)
                break
            except grpc.RpcError:
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)


@contextmanager
def gateways(folder: Path) -> Iterator[dict[str, Gateway]]:
    """A gateway with a shared store and one slow version, by its three names."""
    port = free_port()
    make_model(folder / "model.onnx")
    with ExitStack() as stack:
        server = stack.enter_context(redis_process(folder / "redis"))
        server.start()
        service = stack.enter_context(
            own_service(
                "gateway",
                folder / "gateway",
                SLIPWAY_POSTGRES_DSN=stack.enter_context(own_database("gateway")),
                SLIPWAY_ADMIN_PORT=str(free_port()),
                SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
                SLIPWAY_REDIS_URL=server.url,
            )
        )
        stack.enter_context(upstream(port, folder / "model.onnx", "--row-cost-s", str(ROW_COST_S)))
        service.start()
        service.wait_ready()
        first = Gateway(service=service, model="none")
        first.key = first.create_key("load").secret
        found = published(first, port)
        wait_known(found)
        yield found


def main() -> None:
    """Start what is needed, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path, default=Path("out", "cache.json"))
    given = parser.parse_args()
    os.environ.update({name: value for name, value in cli_environment().items() if name not in os.environ})
    cache = Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway")
    drivers, others = install_drivers(cache), busy_share()
    pace: dict[str, Any] = {"rounds": given.rounds, "seconds": given.seconds}
    numbers, pace = ((1, JUDGED_AT), {"rounds": 1, "seconds": 1.5}) if given.quick else (IN_FLIGHT, pace)
    with tempfile.TemporaryDirectory() as name, gateways(Path(name)) as found:
        rows = compare(Bench(gateways=found, drivers=drivers, folder=Path(name)), numbers, **pace)
    outcome = judge(rows)
    about_it = [*about([others]), f"- {pace['rounds']} rounds of {pace['seconds']:g} s a load"]
    outcome = dataclasses.replace(outcome, lines=[*about_it, *outcome.lines])
    write(outcome, given.json, rows=[dataclasses.asdict(row) for row in rows])
    print("\n".join([*outcome.lines, "", *table(outcome.figures)]))
    if not all(it.is_met for it in outcome.figures):
        sys.exit(MISSED)


if __name__ == "__main__":
    main()
