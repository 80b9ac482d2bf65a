"""A server that knows nothing of Slipway behind the gateway: MLServer, in its own environment."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
import pytest
import requests
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway.stack.layout import find_layout
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, wait_for
from tests.service_process import WITHIN_S, free_port, own_database, own_service

PEER = find_layout().cache / "peers" / "mlserver" / "bin" / "mlserver"
RUNTIME = Path(__file__).resolve().parents[1] / "gateway"
VERSION = "3"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not PEER.is_file(), reason=f"no MLServer at {PEER}; `load-tests/compare/run --quick` installs it"
    ),
]


@dataclass(kw_only=True)
class Stranger:
    """MLServer as a process that can be killed and started again."""

    folder: Path
    port: int
    http_port: int
    process: "subprocess.Popen[bytes] | None" = None

    def write_settings(self, model: str, onnx: Path) -> None:
        settings = {
            "host": "127.0.0.1",
            "grpc_port": self.port,
            "http_port": self.http_port,
            "metrics_port": free_port(),
            "metrics_dir": str(self.folder),
            "parallel_workers": 0,
        }
        parameters = {"uri": str(onnx), "version": VERSION}
        model_settings = {
            "name": model,
            "implementation": "mlserver_model.Touchy",
            "parameters": parameters,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (self.folder / "model-settings.json").write_text(json.dumps(model_settings))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(PEER), "start", str(self.folder)],
                env={**os.environ, "PYTHONPATH": str(RUNTIME)},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + WITHIN_S
        while not self.is_ready():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.1)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.http_port}/v2/health/ready", timeout=2).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, kw_only=True)
class Bench:
    gateway: Gateway
    stranger: Stranger
    onnx: Path

    def expected(self, rows: Any) -> Any:
        session = onnxruntime.InferenceSession(str(self.onnx))
        return session.run(None, {session.get_inputs()[0].name: rows})[1]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("mlserver")
    rows = np.random.default_rng(0).random((200, 6), dtype=np.float32)
    model = LogisticRegression().fit(rows, (rows[:, 0] > 0.5).astype(int))
    onnx = folder / "model.onnx"
    onnx.write_bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
        ) as service,
    ):
        gateway = Gateway(service=service, model=f"stranger-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        stranger = Stranger(folder=folder, port=free_port(), http_port=free_port())
        stranger.write_settings(gateway.model, onnx)
        stranger.start()
        try:
            target = f"127.0.0.1:{stranger.port}"
            gateway.publish(
                Arm(version=VERSION, digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000)
            )
            gateway.wait_for_epoch()
            yield Bench(gateway=gateway, stranger=stranger, onnx=onnx)
        finally:
            stranger.kill()


def probabilities(answer: Any) -> Any:
    names = [output.name for output in answer.outputs]
    return np.frombuffer(answer.raw_output_contents[names.index("probabilities")], "<f4").reshape(-1, 2)


def code_of(gateway: Gateway, rows: Any) -> str:
    try:
        return str(gateway.infer(rows).model_version)
    except grpc.RpcError as error:
        return str(error.code().name)


def test_mlserver_answers_through_the_gateway_alone_and_in_company(bench: Bench) -> None:
    rows = np.random.default_rng(1).random((96, 6)).astype("<f4")
    assert np.allclose(probabilities(bench.gateway.infer(rows[:3])), bench.expected(rows[:3]), atol=1e-5)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda row: bench.gateway.infer(row[None]), rows))
    together = np.concatenate([probabilities(answer) for answer in answers])
    assert np.allclose(together, bench.expected(rows), atol=1e-5)
    assert {answer.model_version for answer in answers} == {VERSION}


def test_a_row_that_mlserver_cannot_bear_harms_no_neighbour(bench: Bench) -> None:
    good, bad = np.full((1, 6), 0.5), np.full((1, 6), 666.0)
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda n: code_of(bench.gateway, bad if n % 8 == 3 else good), range(64)))
    assert {code for n, code in enumerate(codes) if n % 8 != 3} == {VERSION}
    assert {code for n, code in enumerate(codes) if n % 8 == 3} == {"INTERNAL"}


def test_mlserver_gone_is_said_and_found_again(bench: Bench) -> None:
    bench.stranger.kill()
    assert code_of(bench.gateway, None) == "UNAVAILABLE"
    bench.stranger.start()
    wait_for("MLServer again", lambda: code_of(bench.gateway, None) == VERSION)
