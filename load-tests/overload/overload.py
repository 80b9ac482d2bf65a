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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import goals
import grpc.aio
import numpy as np
import orjson
from machine import about
from outcome import MISSED, Outcome, figure, table, write
from servers import busy_share
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
QUICK_S: Final = (4.0, 8.0)  # calm, overload
GOODPUT_SHARE: Final = 0.9
ANSWERED_SHARE: Final = 0.99

Seen = tuple[float, float, str]  # sent at, done at, gRPC status


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


def drive(gateway: Gateway, phases: list[dict[str, float]], *, out: Path) -> dict[str, Any]:
    """The open loop, in its own process, which writes what it saw to `out`."""
    order = {
        "out": str(out),
        "target": gateway.target,
        "key": gateway.key,
        "data": request(gateway.model).SerializeToString().hex(),
        "phases": phases,
    }
    driver = [sys.executable, str(HERE / "overload_driver.py")]
    subprocess.run(driver, input=orjson.dumps(order) + b"\n", check=True)
    result: dict[str, Any] = orjson.loads(out.read_bytes())
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What became of the requests that were sent in a span of time.

    Attributes:
        goodput_per_s: Answers that came in time, and within the span.
        answered_share: Of what was sent, 0..1.
    """

    sent_per_s: float
    goodput_per_s: float
    answered_share: float
    p50_ms: float
    p99_ms: float
    codes: dict[str, int]


def judge(seen: Sequence[Seen], start_s: float, end_s: float) -> Phase:
    """The requests that were sent from `start_s` to `end_s`."""
    sent = [(at_s, done_s, code) for at_s, done_s, code in seen if start_s <= at_s < end_s]
    answered_s = [done_s - at_s for at_s, done_s, code in sent if code == "OK"]
    goodput = sum(code == "OK" and start_s <= done_s < end_s for _, done_s, code in seen) / (end_s - start_s)
    quantiles = np.quantile(answered_s, (0.5, 0.99)) if answered_s else (float("nan"),) * 2
    return Phase(
        sent_per_s=round(len(sent) / (end_s - start_s), 1),
        goodput_per_s=round(goodput, 1),
        answered_share=len(answered_s) / len(sent) if sent else 0.0,
        p50_ms=round(float(quantiles[0]) * 1000, 1),
        p99_ms=round(float(quantiles[1]) * 1000, 1),
        codes=dict(Counter(code for _, _, code in sent)),
    )


def recovered_s(seen: Sequence[Seen], end_s: float) -> float:
    """How long after the overload's end a request was sent for the last time that got no answer."""
    return max((at_s - end_s for at_s, _, code in seen if at_s >= end_s and code != "OK"), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run.

    Attributes:
        recovered_s: See the function of that name.
        driver_behind: Calls that the driver made late or not at all.
    """

    times: float
    capacity_per_s: float
    before: Phase
    overload: Phase
    after: Phase
    recovered_s: float
    driver_behind: dict[str, int]


def measure(given: argparse.Namespace) -> Run:
    """Capacity, then calm, overload, calm."""
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as gateway:
        most = asyncio.run(capacity(gateway, given.calm_s))
        calm = {"seconds": given.calm_s, "per_s": most / 2, "within_s": given.within_s}
        overload = {"seconds": given.overload_s, "per_s": given.times * most, "within_s": given.within_s}
        result = drive(gateway, [calm, overload, calm], out=Path(folder) / "seen.json")
    seen, start_s = result["seen"], given.calm_s
    end_s = start_s + given.overload_s
    return Run(
        times=given.times,
        capacity_per_s=round(most, 1),
        before=judge(seen, 0, start_s),
        overload=judge(seen, start_s, end_s),
        after=judge(seen, end_s + min(SETTLE_S, given.calm_s / 2), end_s + given.calm_s),
        recovered_s=round(recovered_s(seen, end_s), 2),
        driver_behind=result["behind"],
    )


def outcome_of(run: Run) -> Outcome:
    """The two figures that are aimed at, and the table."""
    share, after = run.overload.goodput_per_s / run.capacity_per_s, run.after.answered_share
    figures = (
        figure(goals.GOODPUT, f"{share:.0%}", is_met=share >= GOODPUT_SHARE),
        figure(goals.NO_COLLAPSE, f"{after:.1%}", is_met=after >= ANSWERED_SHARE),
    )
    rows = (("before", run.before), (f"overload, {run.times:g} times", run.overload), ("after", run.after))
    lines = [
        f"Capacity, by a closed loop of {IN_FLIGHT} callers: {run.capacity_per_s:g} answers/s; "
        f"{1 / ROW_COST_S:.0f} is what {ROW_COST_S * 1000:g} ms a row allow.",
        "",
        "| | sent/s | answered in time/s | of the capacity | p50 / p99 ms | how calls ended |",
        "|---|---|---|---|---|---|",
    ]
    for title, it in rows:
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(it.codes.items()))
        lines.append(
            f"| {title} | {it.sent_per_s:g} | {it.goodput_per_s:g} | "
            f"{it.goodput_per_s / run.capacity_per_s:.0%} | {it.p50_ms:g} / {it.p99_ms:g} | {codes} |"
        )
    behind = ", ".join(f"{what} {count:,}" for what, count in run.driver_behind.items()) or "never"
    lines += [
        "",
        f"The last call without an answer was sent {run.recovered_s:g} s after the end of the overload. "
        f"Driver behind its clock: {behind}.",
    ]
    return Outcome(figures=figures, lines=lines)


def main() -> None:
    """Measure, print, and fail where a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 s of calm, 8 of overload: does it work?")
    parser.add_argument("--calm-s", type=float, default=20.0)
    parser.add_argument("--overload-s", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--within-s", type=float, default=2.0, help="the callers' deadline")
    parser.add_argument("--json", type=Path, default=Path("out", "overload.json"))
    given = parser.parse_args()
    if given.quick:
        given.calm_s, given.overload_s = QUICK_S
    os.environ.update({name: value for name, value in cli_environment().items() if name not in os.environ})
    others = busy_share()
    run = measure(given)
    outcome = outcome_of(run)
    outcome = replace(outcome, lines=[*about([others]), "", *outcome.lines])
    write(outcome, given.json, run=asdict(run))
    print("\n".join([*outcome.lines, "", *table(outcome.figures)]))
    if not all(it.is_met for it in outcome.figures):
        sys.exit(MISSED)


if __name__ == "__main__":
    main()
