"""Doubtful inputs at a real gateway, with a real server behind it."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from slipway.ids import new_id
from slipway.input_profile_fit import HeldOut, fit_input_profile
from slipway.spec import parse
from slipway.topics import PREDICTIONS
from slipway.v1.jobs_pb2 import SubmitJobRequest, TrustedInferRequest
from slipway.v1.jobs_pb2_grpc import AsyncInferenceStub, TrustedInferenceStub
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import (
    Gateway,
    ends,
    prediction_id,
    read_since,
    request,
    spec_text,
    upstream,
    wait_for,
)
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
NEAR = np.full((1, 6), 0.5)
FAR = np.full((1, 6), 40.0)
OUTPUTS = ("label", "confidence", "prediction_set", "abstained", "input_score")


def profile() -> bytes:
    rng = np.random.default_rng(0)
    rows = rng.random((400, 6)).astype(np.float32)
    held_out = HeldOut(answers=rng.dirichlet((1, 1), size=100), truth=rng.integers(0, 2, 100))
    return fit_input_profile(parse(spec_text("m")), rows, np.empty((400, 0), dtype=object), held_out=held_out)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    port = free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path / "gateway",
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
        ) as service,
        upstream(port, make_onnx(tmp_path)),
    ):
        it = Gateway(service=service, model=f"defence-test-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        it.key = it.create_key("tester").secret
        publish(it, port, "density: {action: abstain}, confidence: {abstain_below: 0.0}", data=profile())
        it.wait_for_epoch()
        yield it


def publish(gateway: Gateway, port: int, defence: str, *, data: bytes) -> None:
    arm = Arm(
        version="1", digest="d" * 64, upstream=f"127.0.0.1:{port}", role="champion", weight_ppm=1_000_000
    )
    if data:
        arm.input_profile.MergeFromString(data)
    gateway.defence = defence
    gateway.publish(arm)


def test_doubt_is_told_over_both_protocols_and_recorded(gateway: Gateway) -> None:
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    near, far = gateway.infer(NEAR).parameters, gateway.infer(FAR)
    assert near["input_score"].double_param < 1 < far.parameters["input_score"].double_param
    assert (near["abstained"].bool_param, far.parameters["abstained"].bool_param) == (False, True)
    assert 0 < near["confidence"].double_param <= 1
    told = over_rest(gateway, np.concatenate([NEAR, FAR]))
    assert [o["name"] for o in told["outputs"]] == list(OUTPUTS)
    assert told["outputs"][3]["data"] == [False, True]
    assert told["outputs"][4]["data"][1] > 1
    wanted = prediction_id(far)
    events = read_since(
        gateway.service.bootstrap, since, lambda seen: any(e.event_id == wanted for e in seen)
    )
    record = next(e.message for e in events if e.event_id == wanted)
    assert isinstance(record, PredictionServed)
    assert (record.abstained, record.defence_action) == (b"\1", "abstain")
    assert record.input_scores[0] > 1
    assert "unlike_training" in record.flags


def over_rest(gateway: Gateway, rows: Any) -> Any:
    body = {
        "inputs": [
            {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
        ],
        "outputs": [{"name": name} for name in OUTPUTS],
    }
    answer = requests.post(
        f"{gateway.url}/v2/models/{gateway.model}/infer",
        json=body,
        headers={"x-api-key": gateway.key},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_refused_names_the_score_and_a_version_without_profile_is_closed(gateway: Gateway) -> None:
    publish(gateway, free_port(), "density: {action: refuse}, on_error: closed", data=profile())
    refused = refusal(gateway, FAR, until=grpc.StatusCode.INVALID_ARGUMENT)
    assert "is above the threshold 1" in refused.details()
    assert_a_job_is_scored_when_it_runs(gateway)
    publish(gateway, free_port(), "density: {action: refuse}, on_error: closed", data=b"")
    closed = refusal(gateway, NEAR, until=grpc.StatusCode.UNAVAILABLE, saying="no input profile")
    assert "cannot be defended as its spec demands" in closed.details()


def assert_a_job_is_scored_when_it_runs(gateway: Gateway) -> None:
    """By the version that answers it, which nobody knows at its submission."""
    message = request(gateway.model, FAR)
    with grpc.insecure_channel(gateway.target) as channel:
        submission = SubmitJobRequest(request=message)
        assert AsyncInferenceStub(channel).Submit(submission, metadata=gateway.metadata, timeout=10).job_id
    running = TrustedInferRequest(
        tenant="default", principal="tester", prediction_id=new_id(), request=message.SerializeToString()
    )
    target = f"127.0.0.1:{gateway.service.environment['SLIPWAY_ADMIN_PORT']}"
    with grpc.insecure_channel(target) as channel:
        told = TrustedInferenceStub(channel).Infer(running, metadata=gateway.operator, timeout=10)
    assert told.failure.code == "INVALID_ARGUMENT"
    assert "is above the threshold 1" in told.failure.message


def refusal(gateway: Gateway, rows: Any, *, until: grpc.StatusCode, saying: str = "") -> Any:
    """The error, once the new routes are known."""
    found: list[Any] = []

    def is_there() -> bool:
        try:
            gateway.infer(rows)
        except grpc.RpcError as error:
            found[:] = [error]
            return error.code() is until and saying in str(error.details())
        return False

    wait_for("the refusal", is_there)
    return found[0]
