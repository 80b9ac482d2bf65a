"""The gateway over HTTP: a real process on the real Kafka and PostgreSQL, and clients that are not ours."""

import asyncio
import gzip
import json
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, ends, exactly_recorded, read_since, upstream, wait_for
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
HERE = Path(__file__).resolve()
HOW_TO = HERE.parents[2] / "docs" / "how-to" / "call-over-rest.md"
TRITON = HERE.parents[1] / "gateway" / "triton_http_client.py"
ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
PARAMETERS = ["slipway_arm", "slipway_feedback_token", "slipway_prediction_id", "slipway_route_epoch"]


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Gateway]:
    port = free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_UPSTREAM_SLOTS="4",
        ) as service,
        upstream(port, onnx),
    ):
        it = Gateway(service=service, model=f"gw-test-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        it.key = it.create_key("tester").secret
        target = f"127.0.0.1:{port}"
        it.publish(Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000))
        it.wait_for_epoch()
        yield it


def body_of(*rows: Any, **fields: Any) -> dict[str, Any]:
    tensor = {"name": "features", "datatype": "FP32", "shape": [len(rows), 6], "data": list(rows)}
    return {"inputs": [tensor], **fields}


def ask(gateway: Gateway, body: Any, **arguments: Any) -> requests.Response:
    url, headers = f"{gateway.url}/v2/models/{gateway.model}/infer", dict(gateway.metadata)
    answer = requests.post(url, json=body, headers=headers, timeout=10, **arguments)
    if answer.ok:
        gateway.answered.append(answer.json()["parameters"]["slipway_prediction_id"])
    return answer


def test_tritonclient_works_unmodified(gateway: Gateway) -> None:
    target = gateway.url.removeprefix("http://")
    command = [sys.executable, str(TRITON), target, gateway.model, gateway.key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    blocking, asynchronous = seen["blocking"], seen["asyncio"]
    states = [blocking[name] for name in ("live", "ready", "model_ready", "version_ready", "unknown_ready")]
    assert states == [True, True, True, True, False]
    assert set(blocking["server"]["extensions"]) >= {"binary_tensor_data", "model_repository"}
    assert [t["name"] for t in blocking["metadata"]["outputs"]] == ["label", "probabilities"]
    assert blocking["config"]["max_batch_size"] == 8
    entry = {"name": gateway.model, "version": "1", "state": "READY", "reason": ""}
    assert entry in blocking["index"]
    assert entry in asynchronous["index"]
    first, *others = blocking["probabilities"] + asynchronous["probabilities"]
    assert np.array(first).shape == (3, 2)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-6)
    assert blocking["labels"] == blocking["json_labels"] == [str(int(p[1] > p[0])) for p in first]
    assert (blocking["id"], blocking["version"], blocking["parameters"]) == ("r-1", "1", PARAMETERS)
    assert blocking["without_key"].startswith("401")
    assert blocking["unknown_model"].startswith("404")


def test_what_the_how_to_shows_is_what_happens(gateway: Gateway, tmp_path: Path) -> None:
    text = HOW_TO.read_text().replace("http://localhost:8000", gateway.url).replace("yard", gateway.model)
    text = text.replace("slk_...", gateway.key)
    blocks = re.findall(r"^```(bash|json)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    answer = ""
    for language, block in blocks:
        if language == "json":
            seen = json.loads(answer)
            if isinstance(seen, list):  # other tests leave models, too
                seen = [entry for entry in seen if entry["name"] == gateway.model]
            assert like(seen) == like(json.loads(block)), answer
        else:
            answer = bash(gateway, block, tmp_path)
    probabilities = [float(number) for number in answer_of_bytes(gateway, blocks, tmp_path).split()]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert json.loads((tmp_path / "answer.json").read_text())["model_name"] == gateway.model


def answer_of_bytes(gateway: Gateway, blocks: list[tuple[str, str]], folder: Path) -> str:
    """What the block says that takes the binary answer apart."""
    (block,) = [b for language, b in blocks if language == "bash" and "answer.json" in b]
    return bash(gateway, block, folder)


def bash(gateway: Gateway, block: str, folder: Path) -> str:
    command = f"set -euo pipefail\nexport KEY={gateway.key}\n{block}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, block + done.stderr
    return done.stdout


def like(value: Any) -> Any:
    """A JSON value with its numbers and our tokens left out: what any run must show alike."""
    if isinstance(value, dict):
        ours = (*PARAMETERS, "data")
        return {k: type(entry) if k in ours else like(entry) for k, entry in value.items()}
    return [like(entry) for entry in value] if isinstance(value, list) else value


def test_the_record_says_what_the_answer_said(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    parameters = {"slipway_unit": "unit-1", "slipway_key": "order-1"}
    answer = ask(gateway, body_of(ROW, [2.0, *ROW[1:]], id="mine", parameters=parameters))
    assert answer.status_code == 200, answer.text
    said = answer.json()["parameters"]
    events = read_since(
        gateway.service.bootstrap,
        since,
        lambda events: any(e.event_id == said["slipway_prediction_id"] for e in events),
    )
    (record,) = [e.message for e in events if e.event_id == said["slipway_prediction_id"]]
    context = record.context
    assert isinstance(record, PredictionServed)
    assert (context.protocol, context.unit, context.business_key, context.request_id, context.rows) == (
        "rest",
        "unit-1",
        "order-1",
        "mine",
        2,
    )
    (probabilities,) = [t for t in record.payload.outputs if t.name == "probabilities"]
    recorded = np.frombuffer(probabilities.raw, dtype="<f4")
    np.testing.assert_allclose(answer.json()["outputs"][1]["data"], recorded, rtol=1e-6)
    assert list(record.flags) == ["out_of_range:a"]


def test_a_prediction_over_grpc_says_so_in_its_record(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    wanted = str(gateway.infer().parameters["slipway_prediction_id"].string_param)
    events = read_since(
        gateway.service.bootstrap, since, lambda events: any(e.event_id == wanted for e in events)
    )
    assert {e.message.context.protocol for e in events if e.event_id == wanted} == {"grpc"}


def test_failures_of_the_pipeline_have_their_status(gateway: Gateway) -> None:
    for body, status, why in (
        (body_of([666.0, *ROW[1:]]), 500, "a row that this model cannot bear"),
        (body_of(*[ROW] * 9), 400, "send 1 to 8"),
        (body_of([None, *ROW[1:]]), 400, "feature 'a' in row 0 is NaN"),
        (body_of(ROW, parameters={"timeout": 1}), 504, "time"),
    ):
        answer = ask(gateway, body)
        assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text
    url, headers = f"{gateway.url}/v2/models/{gateway.model}/versions/7/infer", dict(gateway.metadata)
    assert requests.post(url, json=body_of(ROW), headers=headers, timeout=10).status_code == 404


def test_the_description_is_served(gateway: Gateway) -> None:
    paths = requests.get(f"{gateway.url}/openapi.json", timeout=10).json()["paths"]
    assert {"/v2/models/{model}/infer", "/v1/feedback", "/healthz"} <= set(paths)


def test_curl_does_not_even_send_what_is_too_large(gateway: Gateway, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(100_000_000)
    url = f"{gateway.url}/v2/models/{gateway.model}/infer"
    command = (
        f"curl -s -w ' %{{http_code}} %{{size_upload}}' {url} -H \"x-api-key: $KEY\" --data-binary @large"
    )
    said, status, sent_bytes = bash(gateway, command, tmp_path).rsplit(" ", 2)
    assert (status, "larger than" in said) == ("413", True)
    assert int(sent_bytes) < 1_000_000


def test_hostile_senders_harm_nobody(gateway: Gateway) -> None:
    """All at once, while an honest client goes on being answered, and recorded."""
    with exactly_recorded(gateway):
        harass(gateway)


def harass(gateway: Gateway) -> None:
    port = int(gateway.url.rpartition(":")[2])
    path = f"/v2/models/{gateway.model}/infer"
    head = f"POST {path} HTTP/1.1\r\nauthorization: Bearer {gateway.key}\r\n".encode()

    def connected(data: bytes) -> socket.socket:
        it = socket.create_connection(("127.0.0.1", port), timeout=60)
        with suppress(BrokenPipeError, ConnectionResetError):
            it.sendall(data)
        return it

    bomb = gzip.compress(bytes(200_000_000), 1)
    packed = head + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    hostile = [
        connected(packed + bomb),
        *(connected(head + b"content-length: 500\r\n\r\nabc") for _ in range(50)),
        *(connected(head) for _ in range(50)),
        *(connected(b"") for _ in range(50)),
        connected(head + b"a: b\r\n" * 100_000 + b"\r\n"),
        connected(head + b"content-length: 100000000\r\n\r\n" + b"x" * 1_000_000),
        connected(head + b"transfer-encoding: chunked\r\n\r\n" + b"186a0\r\n" + b"x" * 100_000 + b"\r\n"),
    ]
    try:
        for _ in range(50):
            assert ask(gateway, body_of(ROW)).status_code == 200
        for it in hostile[:25]:
            it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets
            it.close()
        assert ask(gateway, body_of(ROW)).status_code == 200
    finally:
        for it in hostile:
            it.close()


def test_requests_in_flight_are_answered_when_the_gateway_stops(gateway: Gateway, onnx: Path) -> None:
    slow = free_port()
    with upstream(slow, onnx, "--delay-s", "2"):
        champion = Arm(version="1", digest="d" * 64, upstream=f"127.0.0.1:{slow}", role="champion")
        champion.weight_ppm = 1_000_000
        gateway.publish(champion)
        gateway.wait_for_epoch()

        async def ask_while_it_stops() -> list[int]:
            asking = [asyncio.to_thread(ask, gateway, body_of(ROW)) for _ in range(4)]
            tasks = [asyncio.ensure_future(it) for it in asking]
            await asyncio.to_thread(wait_for, "requests in flight", lambda: busy_slots(gateway) == 4)
            await asyncio.to_thread(gateway.service.terminate)
            return [answer.status_code for answer in await asyncio.gather(*tasks)]

        assert asyncio.run(ask_while_it_stops()) == [200] * 4
    gateway.service.start()
    gateway.service.wait_ready()


def busy_slots(gateway: Gateway) -> float:
    """Calls that run."""
    text = requests.get(f"{gateway.url}/metrics", timeout=5).text
    found = re.findall(r"^slipway_gateway_slots_busy{.*} (\S+)$", text, re.MULTILINE)
    return sum(float(number) for number in found)
