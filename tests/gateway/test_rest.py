"""/v2, with the pipeline behind it stood in for."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from prometheus_client import REGISTRY

from services.gateway.domain.elements import join
from services.gateway.domain.failures import ArmFailed
from services.gateway.rest import resolve
from slipway import errors, web
from slipway.rpc import MAX_MESSAGE_BYTES
from tests.gateway import rest_stand_in
from tests.gateway.rest_stand_in import PARAMETERS, TEXT, Behind

INPUT = {"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.5]}
INFER = "/v2/models/m/infer"


@pytest.fixture
def behind() -> Behind:
    return rest_stand_in.behind()


@pytest.fixture
async def client(behind: Behind) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_stand_in.near(behind) as it:
        yield it


@pytest.fixture
async def remote(behind: Behind) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_stand_in.far(behind) as it:
        yield it


async def test_json_is_answered_in_json(remote: httpx.AsyncClient, behind: Behind) -> None:
    body = {
        "id": "r-1",
        "inputs": [{**INPUT, "shape": [2, 2], "data": [[0.25, 0.5], [None, 1]]}],
        "outputs": [{"name": "probabilities"}],
        "parameters": {"slipway_unit": "u", "timeout": 1_000_000},
    }
    answer = await remote.post("/v2/models/m/versions/1/infer", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": "m",
        "model_version": "1",
        "id": "r-1",
        "parameters": PARAMETERS,
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.5, 0.5, 0.5, 0.5]}
        ],
    }
    (call,) = behind.predictions.calls
    assert (call.unit, call.timeout_s, call.version, call.protocol) == ("u", 1.0, "1", "rest")


async def test_bytes_are_answered_in_bytes(client: httpx.AsyncClient, behind: Behind) -> None:
    tensor = {**INPUT, "parameters": {"binary_data_size": 8}}
    del tensor["data"]
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    raw = np.array([0.25, 0.5], dtype="<f4").tobytes()
    headers = {"inference-header-content-length": str(len(head))}
    answer = await client.post(INFER, content=head + raw, headers=headers)
    end = int(answer.headers["inference-header-content-length"])
    outputs = orjson.loads(answer.content[:end])["outputs"]
    assert [o["name"] for o in outputs] == ["label", "probabilities"]
    assert answer.content[end:] == join([b"1"]) + np.array([0.5, 0.5], dtype="<f4").tobytes()
    assert behind.predictions.calls[0].tensors[0].raw == raw


async def test_compressed_requests_are_understood(client: httpx.AsyncClient) -> None:
    body = gzip.compress(orjson.dumps({"inputs": [INPUT]}))
    answer = await client.post(INFER, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 200, answer.text
    bomb = gzip.compress(b"\0" * 50_000_000)
    answer = await client.post(INFER, content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    answer = await client.post(INFER, content=b"x", headers={"content-encoding": "br"})
    assert (answer.status_code, "gzip" in answer.json()["error"]) == (415, True)


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"{}", 400, "input features is missing"),
        (b'{"inputs": [], "outputs": []}', 400, "input features is missing"),
        ({"inputs": [INPUT, INPUT]}, 400, "sent twice"),
        ({"inputs": [{**INPUT, "name": "x"}]}, 400, "not an input of the model"),
        ({"inputs": [{**INPUT, "datatype": "FP16"}]}, 400, "datatype 'FP16', but the model takes FP32"),
        ({"inputs": [{**INPUT, "datatype": "BF16"}]}, 400, "datatype 'BF16', but the model takes FP32"),
        ({"inputs": [{**INPUT, "datatype": "INT64"}]}, 400, "datatype 'INT64', but the model takes FP32"),
        ({"inputs": [{**INPUT, "data": [0.1, 1e40]}]}, 400, "feature 'b' in row 0 is infinite"),
        (b'{"inputs": [1%s]}' % (b"0" * 400), 400, "not JSON"),
        ({"inputs": [{**INPUT, "data": [0.1, None]}]}, 400, "feature 'b' in row 0 is NaN"),
        ({"inputs": [{**INPUT, "shape": [9, 2], "data": [0.1] * 18}]}, 400, "send 1 to 8"),
        ({"inputs": [{**INPUT, "shape": [2, 2], "data": [[1, 2, 3], [4]]}]}, 400, "does not fill shape"),
        ({"inputs": [INPUT], "outputs": [{"name": "x"}]}, 400, "output 'x' does not exist"),
        (
            b'{"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [NaN, 1]}]}',
            400,
            "JS",
        ),
        (b'{"a": ' * 100_000, 400, "not JSON"),
    ],
)
async def test_every_bad_request_is_named(
    client: httpx.AsyncClient, body: Any, status: int, why: str
) -> None:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    answer = await client.post(INFER, content=content)
    assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text
    assert (await client.post(INFER, json={"inputs": [INPUT]})).status_code == 200


async def test_unreadable_requests_are_counted(client: httpx.AsyncClient) -> None:
    def count(reason: str) -> float:
        return REGISTRY.get_sample_value("slipway_gateway_refusals_total", {"reason": reason}) or 0

    before = count("message")
    await client.post(INFER, content=b"{")
    await client.post(INFER, content=b"x" * (MAX_MESSAGE_BYTES + 1))
    assert count("message") == before + 2


@pytest.mark.parametrize("path", [INFER, "/v2/models/m", "/v2/repository/index"])
async def test_who_asks_is_known_before_anything_is_read(client: httpx.AsyncClient, path: str) -> None:
    method = "GET" if path == "/v2/models/m" else "POST"
    for headers in (
        {"authorization": ""},
        {"authorization": "Bearer slk_k1_x"},
        {"authorization": "Basic x"},
    ):
        answer = await client.request(method, path, headers=headers, content=b"{")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = await client.post(
        INFER, headers={"authorization": "", "x-api-key": TEXT}, json={"inputs": [INPUT]}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (errors.Denied("no"), 403, None),
        (errors.NotFound("no"), 404, None),
        (errors.Overloaded("no"), 429, None),
        (errors.Overloaded("no", retry_after_s=1.2), 429, "2"),
        (errors.Unavailable("no"), 503, None),
        (errors.DeadlineExceeded("no"), 504, None),
        (ArmFailed("no"), 500, None),
    ],
)
async def test_every_kind_of_failure_has_its_status(
    client: httpx.AsyncClient, behind: Behind, error: Exception, status: int, retry_after: str | None
) -> None:
    behind.predictions.error = error
    answer = await client.post(INFER, json={"inputs": [INPUT]})
    assert (answer.status_code, answer.json()) == (status, {"error": "no"})
    assert answer.headers.get("retry-after") == retry_after


async def test_a_hundred_megabytes_are_refused_early(remote: httpx.AsyncClient) -> None:
    taken = 0

    async def much() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1_000_000
            yield b"x" * 1_000_000

    with pytest.raises((httpx.ReadError, httpx.WriteError)):
        await remote.post(INFER, content=much(), headers={"content-length": "100000000"})
    with pytest.raises((httpx.ReadError, httpx.WriteError)):
        await remote.post(INFER, content=much())
    assert taken < 100_000_000
    answer = await remote.post(INFER, content=b"x" * (MAX_MESSAGE_BYTES + 1))
    assert (answer.status_code, "larger than" in answer.json()["error"]) == (413, True)


async def test_a_caller_that_leaves_frees_its_place(remote: httpx.AsyncClient, behind: Behind) -> None:
    behind.predictions.gate = asyncio.Event()
    asking = asyncio.create_task(remote.post(INFER, json={"inputs": [INPUT]}))
    async with asyncio.timeout(10):
        while not behind.predictions.calls:
            await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait_for(behind.predictions.is_cancelled.wait(), 10)


async def test_the_server_says_what_it_is(client: httpx.AsyncClient, behind: Behind) -> None:
    assert (await client.get("/v2")).json() == {
        "name": "slipway",
        "version": "1.2.3",
        "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "parameters"],
    }
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True, "live": True}
    behind.missing.append("routes")
    answer = await client.get("/v2/health/ready")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert (await client.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/m/ready", 200),
        ("/v2/models/m/versions/1/ready", 200),
        ("/v2/models/m/versions/2/ready", 503),
        ("/v2/models/n/ready", 503),
        ("/v2/models/nobody/ready", 503),
    ],
)
async def test_models_say_whether_they_are_ready(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path, headers={"authorization": ""})
    assert (answer.status_code, answer.json()["ready"]) == (status, status == 200)


async def test_before_it_can_work_it_says_so(client: httpx.AsyncClient, behind: Behind) -> None:
    behind.front.mount("v2", web.starting)
    for path in ("/v2/health/ready", INFER):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "starting" in answer.json()["error"]


async def test_models_say_what_they_take_and_give(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2/models/m")
    parameters = {"slipway_columns": '["a","b"]', "slipway_max_rows": 8}
    assert answer.json() == {
        "name": "m",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 2], "parameters": parameters}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }
    assert (await client.get("/v2/models/m/versions/2")).json()["versions"] == ["2"]
    for path in ("/v2/models/m/versions/7", "/v2/models/nobody", "/v2/models/o"):
        assert (await client.get(path)).status_code == 404


async def test_models_say_how_many_rows_they_take(client: httpx.AsyncClient) -> None:
    for path in ("/v2/models/m/config", "/v2/models/m/versions/1/config"):
        assert (await client.get(path)).json() == {
            "name": "m",
            "platform": "onnxruntime_onnx",
            "max_batch_size": 8,
            "input": [{"name": "features", "data_type": "TYPE_FP32", "dims": [2]}],
            "output": [
                {"name": "label", "data_type": "TYPE_STRING", "dims": []},
                {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [2]},
            ],
        }


async def test_the_index_lists_the_callers_models(client: httpx.AsyncClient) -> None:
    everything = (await client.post("/v2/repository/index")).json()
    assert everything == [
        {"name": "m", "version": "1", "state": "READY", "reason": ""},
        {"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "no server holds it now"},
        {"name": "n", "version": "", "state": "UNAVAILABLE", "reason": "no version is in service yet"},
    ]
    ready = await client.post("/v2/repository/index", json={"ready": True})
    assert ready.json() == everything[:1]
    assert (await client.post("/v2/repository/index", json={"ready": 1})).status_code == 400
    for verb in ("load", "unload"):
        assert (await client.post(f"/v2/repository/models/m/{verb}")).status_code == 501


@pytest.mark.parametrize(
    "path",
    ["/v2/nothing", "/v2/models", "/v2/models/m/versions/1/stats", "/v2/models/m/infer/x", "/v2/models//"],
)
async def test_other_paths_are_not_there(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, "/openapi.json" in answer.json()["error"]) == (404, True)


async def test_other_methods_are_told_the_right_one(client: httpx.AsyncClient) -> None:
    answer = await client.get(INFER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("/v2/", ("/v2", "", "")),
        ("/v2/models/a", ("/v2/models/{model}", "a", "")),
        ("/v2/models/a/versions/b/ready", ("/v2/models/{model}/versions/{version}/ready", "a", "b")),
        (
            "/v2/models/versions/versions/versions",
            ("/v2/models/{model}/versions/{version}", "versions", "versions"),
        ),
        ("/v2/models/infer", ("/v2/models/{model}", "infer", "")),
        ("/v2/repository/models/a/load", ("/v2/repository/models/{model}/load", "a", "")),
    ],
)
def test_paths_are_taken_apart(path: str, resolved: tuple[str, str, str]) -> None:
    assert resolve(path) == resolved


@pytest.mark.parametrize("wish", ["respond-async", "handling=lenient, Respond-Async; foo=1"])
async def test_who_would_rather_come_back_gets_a_job(
    client: httpx.AsyncClient, behind: Behind, wish: str
) -> None:
    answer = await client.post(INFER, json={"inputs": [INPUT]}, headers={"prefer": wish})
    assert (answer.status_code, answer.json()) == (202, {"job_id": "j-1", "expires_at_s": 9.5})
    assert answer.headers["location"] == "/v1/jobs/j-1"
    assert answer.headers["preference-applied"] == "respond-async"
    assert [call.model for call in behind.jobs.taken] == ["m"]
    assert behind.predictions.calls == []


async def test_other_wishes_are_not_for_us(client: httpx.AsyncClient, behind: Behind) -> None:
    answer = await client.post(INFER, json={"inputs": [INPUT]}, headers={"prefer": "wait=10"})
    assert answer.status_code == 200
    assert behind.jobs.taken == []


async def test_a_tester_chooses_the_arm_by_a_header(client: httpx.AsyncClient, behind: Behind) -> None:
    for headers in ({"slipway-arm": "canary"}, {}):
        assert (await client.post(INFER, json={"inputs": [INPUT]}, headers=headers)).status_code == 200
    assert [call.arm for call in behind.predictions.calls] == ["canary", ""]


async def test_an_arm_does_not_go_with_a_job(client: httpx.AsyncClient, behind: Behind) -> None:
    headers = {"slipway-arm": "canary", "prefer": "respond-async"}
    answer = await client.post(INFER, json={"inputs": [INPUT]}, headers=headers)
    assert (answer.status_code, "name the version" in answer.json()["error"]) == (400, True)
    assert behind.jobs.taken == []
