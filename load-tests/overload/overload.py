"""Goodput of a version that takes five milliseconds a row, at several times its capacity and afterwards.

Starts a gateway and an upstream server of its own beside the running stack (whose gateway rests meanwhile),
measures the capacity by a closed loop, then drives an open loop: calm, overload, calm.
"""

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc.aio
import numpy as np
import orjson
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway.stack.environment import cli_environment
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, request, upstream
from tests.service_process import free_port, own_database, own_service

HERE: Final = Path(__file__).parent
METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
ROW_COST_S: Final = 0.005
IN_FLIGHT: Final = 32
SETTLE_S: Final = 5.0


def write_model(path: Path) -> Path:
    """Anything that answers: its cost is added by the server."""
    rows = np.random.default_rng(0).random((200, 6), dtype=np.float32)
    model = LogisticRegression().fit(rows, rows[:, 0] > 0.5)
    model.classes_ = np.array([0, 1])
    path.write_bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())
    return path


@contextmanager
def bench(folder: Path) -> Iterator[Gateway]:
    """A gateway with one model on one slow server."""
    port = free_port()
    with (
        own_database("overload") as dsn,
        own_service(
            "gateway",
            folder / "gateway",
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
        ) as service,
        upstream(port, write_model(folder / "model.onnx"), "--row-cost-s", str(ROW_COST_S)),
    ):
        gateway = Gateway(service=service, model=f"overload-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("overload").secret
        target = f"127.0.0.1:{port}"
        gateway.publish(
            Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000)
        )
        gateway.wait_for_epoch()
        yield gateway


async def capacity(gateway: Gateway, seconds: float) -> float:
    """Answers per second of a closed loop that keeps the version busy."""
    data, answered, end_s = request(gateway.model).SerializeToString(), 0, time.perf_counter() + seconds

    async def loop(call: Any) -> None:
        nonlocal answered
        while time.perf_counter() < end_s:
            await call(data, metadata=gateway.metadata, timeout=10)
            answered += 1

    async with grpc.aio.insecure_channel(gateway.target) as channel:
        await asyncio.gather(*(loop(channel.unary_unary(METHOD)) for _ in range(IN_FLIGHT)))
    return answered / seconds


def drive(gateway: Gateway, phases: list[dict[str, float]]) -> dict[str, Any]:
    """The open loop, in its own process."""
    order = {
        "target": gateway.target,
        "key": gateway.key,
        "data": request(gateway.model).SerializeToString().hex(),
        "phases": phases,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "overload_driver.py")],
        input=orjson.dumps(order) + b"\n",
        capture_output=True,
        check=True,
    )
    result: dict[str, Any] = orjson.loads(done.stdout)
    return result


def judge(seen: list[tuple[float, float, str]], start_s: float, end_s: float) -> dict[str, Any]:
    """What became of the requests that were sent in a span of time."""
    sent = [(at_s, done_s, code) for at_s, done_s, code in seen if start_s <= at_s < end_s]
    answered_s = sorted(done_s - at_s for at_s, done_s, code in sent if code == "OK")
    goodput = sum(code == "OK" and start_s <= done_s < end_s for _, done_s, code in seen) / (end_s - start_s)
    quantiles = np.quantile(answered_s, (0.5, 0.99)) if answered_s else (float("nan"),) * 2
    return {
        "sent_per_s": round(len(sent) / (end_s - start_s), 1),
        "goodput_per_s": round(goodput, 1),
        "p50_ms": round(float(quantiles[0]) * 1000, 1),
        "p99_ms": round(float(quantiles[1]) * 1000, 1),
        "codes": dict(Counter(code for _, _, code in sent)),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as gateway:
        most = asyncio.run(capacity(gateway, given.calm_s))
        calm = {"seconds": given.calm_s, "per_s": most / 2, "within_s": given.within_s}
        overload = {"seconds": given.overload_s, "per_s": given.times * most, "within_s": given.within_s}
        result = drive(gateway, [calm, overload, calm])
    seen, start_s = result["seen"], given.calm_s
    end_s = start_s + given.overload_s
    return {
        "capacity_per_s": round(most, 1),
        "before": judge(seen, 0, start_s),
        "overload": judge(seen, start_s, end_s),
        "after": judge(seen, end_s + min(SETTLE_S, given.calm_s / 2), end_s + given.calm_s),
        "driver_behind": result["behind"],
        "load_average": os.getloadavg(),
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
    }


def main() -> None:
    """Measure, print, and fail below nine tenths of the capacity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calm-s", type=float, default=20.0)
    parser.add_argument("--overload-s", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--within-s", type=float, default=2.0, help="the callers' deadline")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.environ.update({name: value for name, value in cli_environment().items() if name not in os.environ})
    report = measure(given)
    text = orjson.dumps(report, option=orjson.OPT_INDENT_2)
    print(text.decode())
    if given.json:
        given.json.write_bytes(text)
    share = report["overload"]["goodput_per_s"] / report["capacity_per_s"]
    print(f"goodput under {given.times:g} times the load: {share:.0%} of the capacity")
    if share < 0.9:
        sys.exit("below 90 %")


if __name__ == "__main__":
    main()
