"""The gateway as a process, on the real Kafka and PostgreSQL, with a real server behind it."""

import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slipway import tokens
from slipway.client.blocking import Slipway
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.oip import open_inference_pb2 as oip
from slipway.topics import FEEDBACK, IDENTITIES, PREDICTIONS
from slipway.v1.feedback_pb2 import FeedbackReceived, SubmitFeedbackRequest
from slipway.v1.feedback_pb2_grpc import FeedbackIntakeStub
from slipway.v1.keys_pb2 import CreateKeyRequest, ListKeysRequest, RevokeKeyRequest, RotateKeyRequest
from slipway.v1.predictions_pb2 import PredictionFailed, PredictionServed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import (
    FEATURES,
    Gateway,
    ends,
    prediction_id,
    read_since,
    request,
    triton,
    upstream,
    wait_for,
)
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, kw_only=True)
class Bench:
    gateway: Gateway
    onnx: Path
    port: int  # of the champion's server
    second_port: int  # nobody listens here until a test does


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Bench]:
    port = free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
        ) as service,
        upstream(port, onnx),
    ):
        gateway = Gateway(service=service, model=f"gw-test-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        it = Bench(gateway=gateway, onnx=onnx, port=port, second_port=free_port())
        champion_only(it)
        yield it


@pytest.fixture
def gateway(bench: Bench) -> Gateway:
    return bench.gateway


def arm(port: int, version: str = "1", role: str = "champion", weight_ppm: int = 1_000_000) -> Arm:
    target = f"127.0.0.1:{port}"
    return Arm(version=version, digest="d" * 64, upstream=target, role=role, weight_ppm=weight_ppm)


def champion_only(bench: Bench) -> None:
    bench.gateway.publish(arm(bench.port))
    bench.gateway.wait_for_epoch()


def refusal(gateway: Gateway, message: Any, metadata: Any = None) -> grpc.RpcError:
    """The error that a request meets; bytes go as they are."""
    data = message if isinstance(message, bytes) else message.SerializeToString()
    sent = gateway.metadata if metadata is None else metadata
    with grpc.insecure_channel(gateway.target) as channel:
        call: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as failure:
            call(data, metadata=sent, timeout=10)
    return failure.value


def records_of(gateway: Gateway, since: Any, count: int) -> list[Any]:
    """The model's records since then, once there are so many."""
    events = read_since(
        gateway.service.bootstrap,
        since,
        lambda events: sum(e.message.context.model == gateway.model for e in events) >= count,
    )
    return [e for e in events if e.message.context.model == gateway.model]


def test_rows_are_sent_by_the_names_of_their_columns(gateway: Gateway) -> None:
    values = dict(zip(FEATURES, np.linspace(0, 1, len(FEATURES)).tolist(), strict=True))
    turned = dict(reversed(values.items()))
    with Slipway(gateway.target, gateway.key) as slipway:
        assert slipway.inputs(gateway.model).columns == FEATURES
        by_name, turned_by_name = (slipway.predict(gateway.model, row) for row in (values, turned))
        in_order = slipway.predict(gateway.model, np.array([list(values.values())], dtype=np.float32))
        with pytest.raises(InvalidInput, match="colour"):
            slipway.predict(gateway.model, values | {"colour": 1.0})
    answers = [np.asarray(p.probabilities).tolist() for p in (by_name, turned_by_name, in_order)]
    assert answers[0] == answers[1] == answers[2]


def test_tritonclient_works_unmodified(gateway: Gateway) -> None:
    seen = triton(gateway)
    assert (seen["live"], seen["ready"], seen["model_ready"], seen["version_ready"]) == (True,) * 4
    assert seen["unknown_ready"] is False
    assert seen["server"]["name"] == "slipway"
    assert seen["metadata"]["versions"] == ["1"]
    assert seen["config"]["config"]["max_batch_size"] == 8
    assert {"name": gateway.model, "version": "1", "state": "READY"} in seen["index"]["models"]
    assert [t["name"] for t in seen["metadata"]["outputs"]] == ["label", "probabilities"]
    assert np.array(seen["probabilities"]).shape == (3, 2)
    assert seen["labels"] == [str(int(p[1] > p[0])) for p in seen["probabilities"]]
    assert (seen["id"], seen["version"], seen["partly"]) == ("r-1", "1", ["probabilities"])
    assert seen["parameters"] == [
        "slipway_arm",
        "slipway_feedback_token",
        "slipway_prediction_id",
        "slipway_route_epoch",
    ]
    assert "UNAUTHENTICATED" in seen["without_key"]
    assert "NOT_FOUND" in seen["unknown_model"]


def test_grpcurl_works_unmodified(gateway: Gateway) -> None:
    path = subprocess.run(
        [ROOT / "scripts" / "install_grpcurl"], capture_output=True, text=True, check=True, timeout=600
    ).stdout.strip()

    def grpcurl(*arguments: str) -> str:
        done = subprocess.run(
            [path, "-plaintext", *arguments], capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout + done.stderr

    listed = grpcurl(gateway.target, "list").split()
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health", "slipway.v1.FeedbackIntake"} <= set(
        listed
    )
    assert "ModelInfer" in grpcurl(gateway.target, "describe", "inference.GRPCInferenceService")
    key = f"authorization: Bearer {gateway.key}"
    body = {
        "model_name": gateway.model,
        "inputs": [
            {
                "name": "features",
                "datatype": "FP32",
                "shape": [1, 6],
                "contents": {"fp32_contents": [0.9, 0, 0, 0, 0, 0]},
            }
        ],
    }
    answer = json.loads(grpcurl("-H", key, "-d", json.dumps(body), gateway.target, METHOD[1:]))
    assert [output["name"] for output in answer["outputs"]] == ["label", "probabilities"]
    (values,) = answer["outputs"][1]["contents"].values()
    assert len(values) == 2, answer
    check = json.dumps({"service": gateway.model})
    assert "SERVING" in grpcurl("-d", check, gateway.target, "grpc.health.v1.Health/Check")


def test_health_knows_server_services_and_models(gateway: Gateway) -> None:
    with grpc.insecure_channel(gateway.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService", gateway.model):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as failure:
            stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_every_bad_request_is_named_and_harms_nobody(gateway: Gateway) -> None:
    good = request(gateway.model)
    nan = np.full((2, 6), 0.5)
    nan[1, 2] = np.nan
    wrong_type = request(gateway.model)
    wrong_type.inputs[0].datatype = "FP64"
    mixed = request(gateway.model)
    mixed.inputs[0].contents.fp32_contents.append(1)
    cases: list[tuple[Any, str, str]] = [
        (b"\xff\xff", "INVALID_ARGUMENT", "not an inference.ModelInferRequest"),
        (request("nobody"), "NOT_FOUND", "'nobody' is not known"),
        (request(gateway.model, model_version="77"), "NOT_FOUND", "no version '77'"),
        (request(gateway.model, np.zeros((0, 6))), "INVALID_ARGUMENT", "0 rows"),
        (request(gateway.model, np.zeros((9, 6))), "INVALID_ARGUMENT", "send 1 to 8"),
        (request(gateway.model, np.zeros((1, 5))), "INVALID_ARGUMENT", "shape [1, 5]"),
        (request(gateway.model, nan), "INVALID_ARGUMENT", "feature 'c' in row 1 is NaN"),
        (wrong_type, "INVALID_ARGUMENT", "datatype 'FP64'"),
        (mixed, "INVALID_ARGUMENT", "send all tensors one way"),
        (request(gateway.model, raw_input_contents=[b"", b""]), "INVALID_ARGUMENT", "2 raw_input_contents"),
        (request(gateway.model, np.zeros((1_048_577, 1))), "RESOURCE_EXHAUSTED", "larger than max"),
    ]
    for message, code, text in cases:
        error = refusal(gateway, message)
        assert (error.code().name, text in str(error.details())) == (code, True), error.details()
    assert gateway.infer(outputs=good.outputs).outputs


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer slk_a_b"),), (("x-api-key", "nonsense"),)]
)
def test_without_a_key_not_even_the_bytes_are_read(gateway: Gateway, metadata: Any) -> None:
    assert refusal(gateway, b"\xff\xff", metadata).code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_record_says_what_the_answer_said(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    parameters = {
        "slipway_unit": oip.InferParameter(string_param="unit-1"),
        "slipway_key": oip.InferParameter(string_param="order-1"),
    }
    rows = [[0.5] * 6, [2.0] + [0.5] * 5]
    answer = gateway.infer(rows, id="mine", parameters=parameters)
    (event,) = records_of(gateway, since, 1)
    record, context = event.message, event.message.context
    assert isinstance(record, PredictionServed)
    assert event.event_id == event.key == context.prediction_id == prediction_id(answer)
    assert (context.principal, context.tenant, context.version, context.arm) == (
        "tester",
        "default",
        "1",
        "champion",
    )
    assert (context.unit, context.business_key, context.request_id, context.rows) == (
        "unit-1",
        "order-1",
        "mine",
        2,
    )
    assert [t.raw for t in record.payload.outputs] == list(answer.raw_output_contents)
    assert list(record.flags) == ["out_of_range:a"]
    assert {b.feature: b.codes for b in record.feature_bins}["a"] == bytes([5, 254])
    secret = Path(gateway.service.environment["SLIPWAY_SECRETS_DIR"], "feedback_token.key").read_text()
    token = answer.parameters["slipway_feedback_token"].string_param
    assert tokens.verify(secret.encode(), token, subject=context.prediction_id).principal == "tester"


def test_feedback_comes_in_by_grpc_and_http(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, FEEDBACK.name)
    mark = secrets.token_hex(8)
    with grpc.insecure_channel(gateway.target) as channel:
        items = [FeedbackReceived(prediction_id=mark, label="1", source="grpc")]
        answer = FeedbackIntakeStub(channel).SubmitFeedback(
            SubmitFeedbackRequest(items=items), metadata=gateway.metadata, timeout=10
        )
    url, headers = f"{gateway.url}/v1/feedback", {"authorization": f"Bearer {gateway.key}"}
    one = {"businessKey": mark, "model": gateway.model, "label": "0", "feedbackId": f"f-{mark}"}
    accepted = requests.post(
        url, json=[one, {**one, "row": 1, "feedbackId": ""}], headers=headers, timeout=10
    )
    assert accepted.status_code == 202
    ids = [*answer.feedback_ids, *accepted.json()["feedback_ids"]]
    events = read_since(
        gateway.service.bootstrap, since, lambda events: len({e.event_id for e in events} & set(ids)) == 3
    )
    found = {e.event_id: e.message for e in events}
    assert found[ids[0]].feedback_token
    assert ids[1] == f"f-{mark}"
    assert (found[ids[2]].row, found[ids[2]].business_key) == (1, mark)
    for body, status, why in (
        (b"{", 400, "not JSON"),
        (b'{"label": "1"}', 400, "items[0].prediction_id"),
        (b'[{"label": "1", "predicton_id": "x"}]', 400, "predicton_id"),
        (b"[]", 400, "0 items"),
        (b" " * (4 * 1024 * 1024 + 1), 413, "larger than"),
    ):
        refused = requests.post(url, data=body, headers=headers, timeout=10)
        assert (refused.status_code, why in refused.json()["error"]) == (status, True), refused.text
    assert requests.post(url, json=one, timeout=10).status_code == 401


def test_keys_are_made_listed_and_revoked(gateway: Gateway) -> None:
    made = gateway.create_key("short-lived")
    other = Gateway(service=gateway.service, model=gateway.model, key=made.secret)
    assert other.infer().outputs
    with gateway.admin() as stub:
        stub.RevokeKey(RevokeKeyRequest(key_id=made.info.key_id), metadata=gateway.operator, timeout=10)
        listed = stub.ListKeys(ListKeysRequest(), metadata=gateway.operator, timeout=10).keys
        with pytest.raises(grpc.RpcError) as failure:
            stub.ListKeys(ListKeysRequest(), metadata=gateway.metadata, timeout=10)
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(other, request(gateway.model)).code() is grpc.StatusCode.UNAUTHENTICATED
    assert {k.key_id: k.HasField("revoked_at") for k in listed}[made.info.key_id]
    state = Path(gateway.service.environment["SLIPWAY_STATE_DIR"])
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert made.secret.encode() not in kept


def test_a_rotated_key_ends_with_its_overlap_and_others_are_told_of_all(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, IDENTITIES.name)
    with gateway.admin() as stub:
        how = {"metadata": gateway.operator, "timeout": 10}
        old = stub.CreateKey(CreateKeyRequest(principal="shop", roles=["app", "labeler"], ttl_s=3600), **how)
        new = stub.RotateKey(RotateKeyRequest(key_id=old.info.key_id, overlap_s=1), **how)
    callers = [
        Gateway(service=gateway.service, model=gateway.model, key=key) for key in (old.secret, new.secret)
    ]
    assert [list(made.info.roles) for made in (old, new)] == [["app", "labeler"]] * 2
    assert (new.info.principal, new.info.rotated_from) == ("shop", old.info.key_id)
    assert 3590 < new.info.expires_at.seconds - new.info.created_at.seconds <= 3601
    assert callers[1].infer().outputs

    def has_ended() -> bool:
        try:
            callers[0].infer()
        except grpc.RpcError as error:
            return "has expired" in str(error.details())
        return False

    wait_for("the old key to expire", has_ended)
    assert callers[1].infer().outputs
    ids = {old.info.key_id, new.info.key_id}

    def told(events: list[Event]) -> set[str]:
        return {e.key for e in events if e.key in ids and list(e.message.roles) == ["app", "labeler"]}

    events = read_since(gateway.service.bootstrap, since, lambda events: told(events) == ids)
    assert all(made.secret.encode() not in e.message.mac for e in events for made in (old, new))


def test_a_canary_takes_only_its_units_and_a_failing_one_is_recorded(bench: Bench) -> None:
    gateway = bench.gateway
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    canary = arm(bench.second_port, "2", "canary", 500_000)
    gateway.publish(arm(bench.port, weight_ppm=500_000), canary)
    pinned = request(gateway.model, model_version="2")

    def is_known() -> bool:
        return refusal(gateway, pinned).code() is grpc.StatusCode.UNAVAILABLE

    wait_for("the canary in the routes", is_known)
    failed = [e for e in records_of(gateway, since, 1) if isinstance(e.message, PredictionFailed)]
    assert failed[0].message.context.version == "2"
    assert failed[0].message.code == "UNAVAILABLE"
    with upstream(bench.second_port, bench.onnx):
        wait_for("the canary", lambda: answers(gateway, model_version="2"))

        def version_of(unit: str) -> str:
            parameters = {"slipway_unit": oip.InferParameter(string_param=unit)}
            return str(gateway.infer(parameters=parameters).model_version)

        first = [version_of(f"u{n}") for n in range(20)]
        assert [version_of(f"u{n}") for n in range(20)] == first
        assert set(first) == {"1", "2"}
    champion_only(bench)


def answers(gateway: Gateway, **fields: Any) -> bool:
    try:
        return bool(gateway.infer(**fields).outputs)
    except grpc.RpcError:
        return False


def test_a_bad_row_harms_no_neighbour(gateway: Gateway) -> None:
    bad = np.full((1, 6), 666.0)

    def ask(n: int) -> str:
        try:
            return str(gateway.infer(bad if n % 8 == 3 else None).model_version)
        except grpc.RpcError as error:
            return str(error.code().name)

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(ask, range(64)))
    assert [r for n, r in enumerate(results) if n % 8 == 3] == ["INTERNAL"] * 8
    assert {r for n, r in enumerate(results) if n % 8 != 3} == {"1"}


def test_a_deadline_is_kept(bench: Bench) -> None:
    gateway = bench.gateway
    slow = free_port()
    with upstream(slow, bench.onnx, "--delay-s", "30"):
        gateway.publish(arm(bench.port), arm(slow, "9", "standby", 0))
        gateway.wait_for_epoch()
        parameters = {"timeout": oip.InferParameter(int64_param=300_000)}
        pinned = request(gateway.model, model_version="9", parameters=parameters)
        wait_for(
            "the slow server",
            lambda: refusal(gateway, pinned).code() is grpc.StatusCode.DEADLINE_EXCEEDED,
        )
    champion_only(bench)


def test_a_restarted_server_is_found_again(bench: Bench) -> None:
    port = free_port()
    gateway = bench.gateway
    with upstream(port, bench.onnx):
        gateway.publish(arm(bench.port), arm(port, "5", "standby", 0))
        gateway.wait_for_epoch()
        wait_for("version 5", lambda: answers(gateway, model_version="5"))
    assert refusal(gateway, request(gateway.model, model_version="5")).code() is grpc.StatusCode.UNAVAILABLE
    with upstream(port, bench.onnx):
        wait_for("version 5 again", lambda: answers(gateway, model_version="5"))
    champion_only(bench)


def test_kill_9_loses_no_record_of_an_answer(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    answered: set[str] = set()
    lock = threading.Lock()

    def ask_until_dead() -> None:
        with grpc.insecure_channel(gateway.target) as channel:
            try:
                while True:
                    found = prediction_id(gateway.call(channel))
                    with lock:
                        answered.add(found)
            except grpc.RpcError:
                return

    threads = [threading.Thread(target=ask_until_dead) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for("traffic", lambda: len(answered) > 300)
    assert gateway.service.process is not None
    os.kill(gateway.service.process.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    gateway.service.process.wait()
    gateway.service.start()
    gateway.service.wait_ready()
    events = read_since(
        gateway.service.bootstrap, since, lambda events: answered <= {e.event_id for e in events}
    )
    ours = [e.event_id for e in events if e.message.context.model == gateway.model]
    # Requests in flight at the kill may have been recorded and not answered.
    assert answered <= set(ours)
    assert len(set(ours)) <= len(answered) + len(threads)


def test_starts_cold_and_serves_while_kafka_and_postgresql_are_away(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    state = Path(gateway.service.environment["SLIPWAY_STATE_DIR"])
    wait_for("snapshots", lambda: (state / "keys.json").exists() and (state / "routes.snapshot").exists())
    gateway.service.terminate()
    connected = gateway.service.environment
    nowhere = f"127.0.0.1:{free_port()}"
    away = {
        "SLIPWAY_KAFKA_BOOTSTRAP": nowhere,
        "SLIPWAY_POSTGRES_DSN": f"postgresql://gateway@{nowhere}/slipway",
    }
    gateway.service.environment = {**connected, **away}
    gateway.service.start()
    gateway.service.wait_ready()
    answered = {prediction_id(gateway.infer()) for _ in range(20)}
    with pytest.raises(grpc.RpcError, match="PostgreSQL is away"):
        gateway.create_key("nobody")
    gateway.service.terminate()
    gateway.service.environment = connected
    gateway.service.start()
    gateway.service.wait_ready()
    events = read_since(
        gateway.service.bootstrap, since, lambda events: answered <= {e.event_id for e in events}
    )
    assert answered <= {e.event_id for e in events}


def test_a_full_spool_refuses_and_forgets_nothing(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    gateway.service.terminate()
    connected = gateway.service.environment
    small = {
        "SLIPWAY_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "SLIPWAY_SPOOL_LIMIT_BYTES": "20000",
        "SLIPWAY_FEEDBACK_SPOOL_LIMIT_BYTES": "20000",
        "SLIPWAY_SEGMENT_BYTES": "5000",
    }
    gateway.service.environment = {**connected, **small}
    gateway.service.start()
    gateway.service.wait_ready()
    answered: set[str] = set()

    def fill() -> grpc.StatusCode | None:
        try:
            answered.add(prediction_id(gateway.infer()))
        except grpc.RpcError as error:
            return error.code()
        return None

    assert wait_for("a full spool", fill) is grpc.StatusCode.RESOURCE_EXHAUSTED
    metrics = requests.get(f"{gateway.url}/metrics", timeout=5).text
    assert 'slipway_gateway_refusals_total{reason="spool_full"} 1.0' in metrics
    gateway.service.terminate()
    gateway.service.environment = connected
    gateway.service.start()
    gateway.service.wait_ready()
    events = read_since(
        gateway.service.bootstrap, since, lambda events: answered <= {e.event_id for e in events}
    )
    assert len(answered) > 5
    assert answered <= {e.event_id for e in events}
