#!/usr/bin/env python3
"""Cache hits against computing: one gateway, one model that takes 5 ms a row, known by three names.

`off` is never cached; `hits` is asked the same hundred questions again and again; `new` is asked each
question once, so that the cache only costs. Turn by turn, closed loop, one row of 30 features a request,
four channels.

Examples:
  load-tests/cache/run
  load-tests/cache/run --seconds 1 --rounds 1 --row-delay-ms 0
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc.aio
import numpy as np
import uvloop
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, request, upstream
from tests.gateway.redis_process import redis_process
from tests.service_process import free_port, own_database, own_service

COLUMNS: Final = tuple(f"f{n}" for n in range(30))
IN_FLIGHT: Final = (1, 32, 128)
QUESTIONS: Final = 100
CHANNELS: Final = 4
SERVING: Final = "max_batch_rows: 64, max_queued_rows: 4096, timeout_ms: 30000"
TTL_S: Final = {"off": 0, "hits": 3600, "new": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One closed loop: calls a second, and latencies in ms."""

    rate: float
    p50_ms: float
    p99_ms: float


def make_model(path: Path) -> None:
    """A small classifier: the upstream's delay is what costs."""
    rows = np.random.default_rng(0).random((200, len(COLUMNS)), dtype=np.float32)
    model = LogisticRegression().fit(rows, (rows[:, 0] > 0.5).astype(int))
    path.write_bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())


def questions(kind: str, model: str) -> Iterator[Any]:
    """Requests of one row: a hundred over and over, or a new one each time."""
    rng = np.random.default_rng(0 if kind != "new" else None)
    known = [request(model, rng.random((1, len(COLUMNS)), dtype=np.float32)) for _ in range(QUESTIONS)]
    if kind != "new":
        return itertools.cycle(known)
    return (request(model, rng.random((1, len(COLUMNS)), dtype=np.float32)) for _ in itertools.count())


async def load(gateway: Gateway, kind: str, *, in_flight: int, seconds: float) -> Round:
    """A closed loop against one of the names."""
    asked, latencies = questions(kind, gateway.model), list[float]()
    async with Channels(gateway.target) as stubs:
        for _ in range(QUESTIONS if kind == "hits" else CHANNELS):
            await stubs[0].ModelInfer(next(asked), metadata=gateway.metadata, timeout=10)
        end_s = time.perf_counter() + seconds

        async def caller(stub: GRPCInferenceServiceStub) -> None:
            while (start_s := time.perf_counter()) < end_s:
                await stub.ModelInfer(next(asked), metadata=gateway.metadata, timeout=30)
                latencies.append((time.perf_counter() - start_s) * 1000)

        start_s = time.perf_counter()
        async with asyncio.TaskGroup() as callers:
            for number in range(in_flight):
                callers.create_task(caller(stubs[number % CHANNELS]))
        took_s = time.perf_counter() - start_s
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
    return Round(rate=len(latencies) / took_s, p50_ms=cuts[49], p99_ms=cuts[98])


class Channels:
    """Several connections: one alone may be the limit."""

    def __init__(self, target: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(CHANNELS)]

    async def __aenter__(self) -> list[GRPCInferenceServiceStub]:
        return [GRPCInferenceServiceStub(channel) for channel in self._channels]

    async def __aexit__(self, *_error: object) -> None:
        for channel in self._channels:
            await channel.close()


async def compare(gateways: dict[str, Gateway], *, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Medians over the rounds, for each name and each number in flight."""
    table = []
    for in_flight in IN_FLIGHT:
        found: dict[str, list[Round]] = {kind: [] for kind in gateways}
        for turn in range(rounds):
            order = list(gateways.items())
            for kind, gateway in order if turn % 2 == 0 else reversed(order):
                found[kind].append(await load(gateway, kind, in_flight=in_flight, seconds=seconds))
        for kind, them in found.items():
            medians = {f: statistics.median(getattr(it, f) for it in them) for f in Round.__slots__}
            table.append({"in_flight": in_flight, "kind": kind, **medians})
    return table


def show(table: list[dict[str, Any]]) -> None:
    """The table, and the ratio that counts."""
    print("| in flight | cache | req/s | p50 ms | p99 ms | x off |\n|---|---|---|---|---|---|")
    off = {row["in_flight"]: row["rate"] for row in table if row["kind"] == "off"}
    for row in table:
        print(
            f"| {row['in_flight']} | {row['kind']} | {row['rate']:,.0f} | {row['p50_ms']:.2f} | "
            f"{row['p99_ms']:.2f} | {row['rate'] / off[row['in_flight']]:.1f} |"
        )


def published(bench: Gateway, port: int) -> dict[str, Gateway]:
    """The three names of the model, each with routes that are in force."""
    found = {}
    for kind, ttl_s in TTL_S.items():
        gateway = Gateway(
            service=bench.service,
            model=f"cache-load-{kind}-{secrets.token_hex(3)}",
            key=bench.key,
            serving=f"{SERVING}, cache_ttl_s: {ttl_s}",
            columns=COLUMNS,
        )
        target = f"127.0.0.1:{port}"
        champion = Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000)
        gateway.publish(champion)
        found[kind] = gateway
    return found


def wait_known(gateways: dict[str, Gateway]) -> None:
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


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    command = ["git", "describe", "--always", "--dirty"]
    return {
        "commit": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Start what is needed, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--row-delay-ms", type=float, default=5.0)
    arguments = parser.parse_args()
    port, before = free_port(), machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_model(folder / "model.onnx")
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
        delay = str(arguments.row_delay_ms / 1000)
        stack.enter_context(upstream(port, folder / "model.onnx", "--row-delay-s", delay))
        service.start()
        service.wait_ready()
        bench = Gateway(service=service, model="none")
        bench.key = bench.create_key("load").secret
        gateways = published(bench, port)
        wait_known(gateways)
        table = uvloop.run(compare(gateways, rounds=arguments.rounds, seconds=arguments.seconds))
    show(table)
    out = Path("out", "cache.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({**before, **vars(arguments), "table": table}, indent=1))
    print(json.dumps(before))


if __name__ == "__main__":
    main()
