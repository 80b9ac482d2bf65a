"""Limits in a real gateway: what callers are told, what operators see, and a file that changes."""

import secrets
from pathlib import Path

import grpc
import pytest
import requests

from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.v1.limits_pb2 import ShowLimitsRequest, ShowLimitsResponse
from slipway.v1.limits_pb2_grpc import LimitsAdminStub
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, request, upstream, wait_for
from tests.gateway.redis_process import redis_process
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration

FILE = """
limits:
  - {name: app-day, match: {principal: spender}, budget: {rows: 5, per: day}}
  - {name: labels, counts: feedback, match: {principal: "*"}, budget: {rows: 1, per: day}}
"""


def show(gateway: Gateway) -> ShowLimitsResponse:
    target = f"127.0.0.1:{gateway.service.environment['SLIPWAY_ADMIN_PORT']}"
    with grpc.insecure_channel(target) as channel:
        answer: ShowLimitsResponse = LimitsAdminStub(channel).ShowLimits(
            ShowLimitsRequest(principal="spender"), metadata=gateway.operator, timeout=10
        )
    return answer


def infer(gateway: Gateway, rows: int) -> tuple[grpc.StatusCode, dict[str, str]]:
    message = request(gateway.model, [[0.5] * 6] * rows)
    with grpc.insecure_channel(gateway.target) as channel:
        call = GRPCInferenceServiceStub(channel).ModelInfer.future(
            message, metadata=gateway.metadata, timeout=10
        )
        call.exception()
        return call.code(), {str(name): str(value) for name, value in call.trailing_metadata()}


def post(gateway: Gateway, path: str, body: object) -> requests.Response:
    headers = {"authorization": f"Bearer {gateway.key}"}
    return requests.post(f"{gateway.url}{path}", json=body, headers=headers, timeout=10)


def metrics_of(gateway: Gateway) -> str:
    return requests.get(f"{gateway.url}/metrics", timeout=10).text


def rest(gateway: Gateway) -> requests.Response:
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}
    return post(gateway, f"/v2/models/{gateway.model}/infer", {"inputs": [tensor]})


def test_callers_see_what_is_left_and_operators_who_has_it(tmp_path: Path) -> None:
    onnx, port = make_onnx(tmp_path), free_port()
    access = tmp_path / "access"
    access.mkdir()
    (access / "limits.yaml").write_text(FILE)
    with (
        own_database("gateway") as dsn,
        redis_process(tmp_path / "redis") as server,
        own_service(
            "gateway",
            tmp_path / "gateway",
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_REDIS_URL=server.url,
            SLIPWAY_ACCESS_DIR=str(access),
        ) as service,
        upstream(port, onnx),
    ):
        server.start()
        service.start()
        service.wait_ready()
        gateway = Gateway(service=service, model=f"limits-{secrets.token_hex(4)}")
        gateway.key = gateway.create_key("somebody").secret
        gateway.publish(Arm(version="1", upstream=f"127.0.0.1:{port}", role="champion", weight_ppm=1_000_000))
        gateway.wait_for_epoch()
        gateway.key = gateway.create_key("spender").secret

        code, told = infer(gateway, 3)
        assert code is grpc.StatusCode.OK
        assert told["ratelimit-policy"] == '"app-day";q=5;qu="rows";w=86400'
        assert told["ratelimit"].startswith('"app-day";r=2;t=')
        answer = rest(gateway)
        assert answer.status_code == 200
        assert answer.headers["RateLimit"].startswith('"app-day";r=1;t=')
        assert infer(gateway, 6)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED

        code, told = infer(gateway, 2)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert told["ratelimit"].startswith('"app-day";r=1;t=')
        assert int(told["grpc-retry-pushback-ms"]) > 0
        assert rest(gateway).status_code == 200
        refused = rest(gateway)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 1
        assert "'app-day' is reached: 5 rows per day" in refused.json()["error"]

        label = {"prediction_id": "p", "label": "1"}
        assert post(gateway, "/v1/feedback", label).status_code == 202
        assert post(gateway, "/v1/feedback", label).status_code == 429

        wait_for("it is settled", lambda: [limit.used for limit in show(gateway).limits] == [5, 1])
        first, _ = show(gateway).limits
        assert (first.name, first.tenant, first.principal) == ("app-day", "default", "spender")
        assert (first.left, first.source, first.overshoot_bound) == (0, "postgresql", 1)

        (access / "limits.yaml").write_text(FILE.replace("rows: 5", "rows: 50"))
        wait_for("the new file", lambda: infer(gateway, 2)[0] is grpc.StatusCode.OK)
        (access / "limits.yaml").write_text("limits: [{nam: x}]")
        wait_for("the mistake to be told", lambda: "is it `name`" in show(gateway).file_problem)
        assert infer(gateway, 1)[0] is grpc.StatusCode.OK
        wait_for("the gauge", lambda: "slipway_limits_file_ok 0.0" in metrics_of(gateway))
