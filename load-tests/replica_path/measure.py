#!/usr/bin/env python3
"""One model, two ways in: a replica's own port, and Ray Serve's gRPC proxy.

Starts a Ray head of its own on loopback, deploys the same 100-tree classifier twice, and calls each with
a bounded closed loop of 1 and of 32 calls in flight, turn by turn, so that both meet the same machine.

Examples:
  load-tests/replica_path/measure.py
  RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_THROUGHPUT_OPTIMIZED=1 load-tests/replica_path/measure.py
"""

import argparse
import asyncio
import os
import statistics
import time
from typing import Any, Final

import grpc.aio
import numpy as np
import ray
import uvloop
from ray import serve
from ray.serve.config import gRPCOptions
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

from services.inference.domain.version import Version
from services.inference.open_inference import OpenInference
from slipway.oip import open_inference_pb2 as pb
from slipway.oip import open_inference_pb2_grpc as pb_grpc
from slipway.onnx_model import OnnxModel
from slipway.spec import parse

FEATURES: Final = 30
VERSION: Final = Version(model="m", version="1", digest="d")
SPEC: Final = f"""
name: m
task: binary
features: [{", ".join(f"{{name: f{n}}}" for n in range(FEATURES))}]
label: {{name: y, classes: ["0", "1"]}}
"""
REGISTER: Final = "slipway.oip.open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"
IN_FLIGHT: Final = (1, 32)


class OwnPort:
    """Opens its own Open Inference port on loopback."""

    async def __init__(self, onnx: bytes, port: int) -> None:  # type: ignore[misc]
        self._server = grpc.aio.server()
        servicer = OpenInference(VERSION, OnnxModel(onnx, parse(SPEC)))
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()


class BehindProxy:
    """The same code, reached through Ray Serve."""

    def __init__(self, onnx: bytes) -> None:
        self._servicer = OpenInference(VERSION, OnnxModel(onnx, parse(SPEC)))

    async def ModelInfer(self, request: Any) -> Any:
        """Answer one call."""
        return await self._servicer.ModelInfer(request, None)


def make_model() -> bytes:
    """A forest of 100 trees over 30 features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, FEATURES)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    forest = RandomForestClassifier(100, max_depth=8, random_state=0).fit(x, y)
    return bytes(to_onnx(forest, x[:1], options={"zipmap": False}).SerializeToString())


def deploy(onnx: bytes, proxy_port: int) -> dict[str, str]:
    """Both applications; returns where each is reached."""
    grpc_options = gRPCOptions(port=proxy_port, grpc_servicer_functions=[REGISTER])
    serve.start(http_options={"host": "127.0.0.1", "port": proxy_port + 1}, grpc_options=grpc_options)
    options: dict[str, Any] = {"ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 100}
    own_port = proxy_port + 2
    serve.run(serve.deployment(**options)(OwnPort).bind(onnx, own_port), name="own", route_prefix="/own")
    serve.run(serve.deployment(**options)(BehindProxy).bind(onnx), name="behind", route_prefix="/behind")
    return {"own port": f"127.0.0.1:{own_port}", "Ray proxy": f"127.0.0.1:{proxy_port}"}


def make_request() -> pb.ModelInferRequest:
    """One row."""
    row = np.random.default_rng(1).normal(size=(1, FEATURES)).astype(np.float32)
    request = pb.ModelInferRequest(model_name="m", model_version="1", raw_input_contents=[row.tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=row.shape)
    return request


async def load(target: str, *, in_flight: int, seconds: float) -> tuple[float, float]:
    """Median latency in ms and calls per second of a closed loop."""
    request, latencies = make_request(), []
    async with grpc.aio.insecure_channel(target) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        end_s = time.perf_counter() + seconds

        async def caller() -> None:
            while (started_s := time.perf_counter()) < end_s:
                await stub.ModelInfer(request, timeout=10, metadata=(("application", "behind"),))
                latencies.append(time.perf_counter() - started_s)

        await stub.ModelInfer(request, timeout=10, metadata=(("application", "behind"),))
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(caller())
    return statistics.median(latencies) * 1000, len(latencies) / seconds


async def compare(targets: dict[str, str], *, rounds: int, seconds: float) -> None:
    """Print medians over the rounds, and their ratio."""
    for in_flight in IN_FLIGHT:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
        for _ in range(rounds):
            for name, target in targets.items():
                found[name].append(await load(target, in_flight=in_flight, seconds=seconds))
        medians = {
            n: [statistics.median(column) for column in zip(*v, strict=True)] for n, v in found.items()
        }
        for name, (latency_ms, rate) in medians.items():
            print(f"{in_flight:3d} in flight  {name:10s} {latency_ms:7.3f} ms p50  {rate:7.0f} calls/s")
        own, proxy = medians["own port"], medians["Ray proxy"]
        print(f"               ratio      {proxy[0] / own[0]:7.2f} x        {own[1] / proxy[1]:7.2f} x")


def main() -> None:
    """Measure, then stop what was started."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--proxy-port", type=int, default=9700)
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray.init(num_cpus=2, _node_ip_address="127.0.0.1", include_dashboard=False, log_to_driver=False)
    try:
        targets = deploy(make_model(), arguments.proxy_port)
        uvloop.run(compare(targets, rounds=arguments.rounds, seconds=arguments.seconds))
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


if __name__ == "__main__":
    main()
