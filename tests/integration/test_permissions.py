"""Permissions on a real gateway: role x tenant x action, by gRPC and by REST, and what the record says."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from slipway.oip import open_inference_pb2 as oip
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.policy.rules import read_rules
from slipway.topics import PREDICTIONS
from slipway.v1 import feedback_pb2 as fb
from slipway.v1 import jobs_pb2
from slipway.v1.feedback_pb2_grpc import FeedbackIntakeStub
from slipway.v1.jobs_pb2_grpc import AsyncInferenceStub
from slipway.v1.keys_pb2 import CreateKeyRequest
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, ends, read_since, request, upstream, wait_for
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
# In effect a viewer: whatever the role of his key allows him, this takes all but `read`.
POLICY = """
forbid (principal == Principal::"default/reader", action, resource) unless { action == Action::"read" };
"""
OK, DENIED, UNKNOWN, AWAY = "OK", "PERMISSION_DENIED", "NOT_FOUND", "UNAVAILABLE"
CODES = {200: OK, 202: OK, 403: DENIED, 404: UNKNOWN, 503: AWAY}
#           infer, metadata, config, sees it in the index, feedback, submits a job, finds app's job
EXPECTED = {
    "app": (OK, OK, OK, True, OK, OK, AWAY),  # the jobs service is away: he was let through to it
    "mall": (UNKNOWN, UNKNOWN, UNKNOWN, False, OK, UNKNOWN, UNKNOWN),
    "reader": (DENIED, OK, OK, True, DENIED, DENIED, DENIED),
}


@dataclass(frozen=True, kw_only=True)
class Street:
    """A gateway, the keys of its callers, and the folder of its policies."""

    gateway: Gateway
    keys: dict[str, str]
    policies: Path


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    port, access = free_port(), tmp_path_factory.mktemp("access")
    (access / "policies").mkdir()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_JOBS_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_ACCESS_DIR=str(access),
        ) as service,
        upstream(port, make_onnx(tmp_path_factory.mktemp("model"))),
    ):
        it = Gateway(service=service, model=f"gw-test-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        keys = {who: key_of(it, who) for who in EXPECTED}
        it.key = keys["app"]
        target = f"127.0.0.1:{port}"
        it.publish(Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000))
        it.wait_for_epoch()
        yield Street(gateway=it, keys=keys, policies=access / "policies")


def key_of(gateway: Gateway, who: str) -> str:
    request = CreateKeyRequest(principal=who, tenant="mall" if who == "mall" else "default")
    with gateway.admin() as stub:
        return str(stub.CreateKey(request, metadata=gateway.operator, timeout=10, wait_for_ready=True).secret)


def told(call: Any, message: Any, key: str) -> tuple[str, Any]:
    try:
        return OK, call(message, metadata=(("authorization", f"Bearer {key}"),), timeout=20)
    except grpc.RpcError as error:
        return str(error.code().name), None


def by_grpc(street: Street, who: str, job: str) -> tuple[Any, ...]:
    name, key = street.gateway.model, street.keys[who]
    with grpc.insecure_channel(street.gateway.target) as channel:
        oip_stub, jobs = GRPCInferenceServiceStub(channel), AsyncInferenceStub(channel)
        item = fb.FeedbackReceived(prediction_id="p", model=name, label="1")
        index = told(oip_stub.RepositoryIndex, oip.RepositoryIndexRequest(), key)[1]
        return (
            told(oip_stub.ModelInfer, request(name), key)[0],
            told(oip_stub.ModelMetadata, oip.ModelMetadataRequest(name=name), key)[0],
            told(oip_stub.ModelConfig, oip.ModelConfigRequest(name=name), key)[0],
            any(entry.name == name for entry in index.models),
            told(FeedbackIntakeStub(channel).SubmitFeedback, fb.SubmitFeedbackRequest(items=[item]), key)[0],
            told(jobs.Submit, jobs_pb2.SubmitJobRequest(request=request(name)), key)[0],
            told(jobs.GetJob, jobs_pb2.GetJobRequest(job_id=job), key)[0],
        )


def by_rest(street: Street, who: str, job: str) -> tuple[Any, ...]:
    name, url = street.gateway.model, street.gateway.url
    headers = {"authorization": f"Bearer {street.keys[who]}"}
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}

    def ask(method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(method, url + path, json=body, headers=headers, timeout=20)

    def code(method: str, path: str, body: Any = None) -> str:
        return CODES[ask(method, path, body).status_code]

    return (
        code("POST", f"/v2/models/{name}/infer", {"inputs": [tensor]}),
        code("GET", f"/v2/models/{name}"),
        code("GET", f"/v2/models/{name}/config"),
        any(entry["name"] == name for entry in ask("POST", "/v2/repository/index", {}).json()),
        code("POST", "/v1/feedback", {"prediction_id": "p", "model": name, "label": "1"}),
        code("POST", "/v1/jobs", {"model_name": name, "inputs": [tensor]}),
        code("GET", f"/v1/jobs/{job}"),
    )


def test_who_may_do_what_is_the_same_by_every_way_and_from_the_next_second_on(street: Street) -> None:
    gateway, app = street.gateway, street.keys["app"]
    with grpc.insecure_channel(gateway.target) as channel:
        submission = jobs_pb2.SubmitJobRequest(request=request(gateway.model))
        job = told(AsyncInferenceStub(channel).Submit, submission, app)[1].job_id
    assert by_rest(street, "reader", job)[0] == OK
    (street.policies / "own.cedar").write_text(POLICY)
    wait_for("the policy", lambda: by_rest(street, "reader", job)[0] == DENIED)
    for who, expected in EXPECTED.items():
        assert (who, by_grpc(street, who, job)) == (who, expected)
        assert (who, by_rest(street, who, job)) == (who, expected)


def test_the_record_names_the_policies_and_the_decision_and_a_broken_file_changes_neither(
    street: Street,
) -> None:
    gateway, file = street.gateway, street.policies / "own.cedar"
    file.write_text(POLICY)
    good = read_rules({"policies/own.cedar": POLICY.encode()}).policy_hash
    gauge = "slipway_policy_files_not_in_force"

    def metric() -> str:
        text = requests.get(f"{gateway.url}/metrics", timeout=10).text
        return next(line for line in text.splitlines() if line.startswith(gauge)).split()[1]

    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    first = gateway.infer()
    file.write_text("forbid (everything);")
    wait_for("the gauge", lambda: metric() == "1.0")
    second = gateway.infer()
    ids = {answer.parameters["slipway_prediction_id"].string_param for answer in (first, second)}
    events = read_since(
        gateway.service.bootstrap, since, lambda events: ids <= {event.event_id for event in events}
    )
    seen = {
        (e.message.context.policy_hash, e.message.context.decision_id) for e in events if e.event_id in ids
    }
    assert len(seen) == 1
    ((policy_hash, decision),) = seen
    assert policy_hash == good
    assert len(decision) == 32
