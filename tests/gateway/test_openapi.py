"""What /openapi.json says is what the server does."""

import re
from typing import Any

import httpx
import jsonschema
import pytest

from services.gateway.openapi import describe
from services.gateway.rest import Rest
from slipway import web
from tests.gateway import rest_stand_in
from tests.gateway.rest_stand_in import HEADERS

EXAMPLE = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [[None, 0.5]]}]}


@pytest.fixture
def document() -> Any:
    app = web.application("gateway", not_ready=list)
    describe(app)
    app.openapi()
    return app.openapi()


def operations(document: Any) -> list[tuple[str, str, Any]]:
    """Path, method and operation of everything under /v2."""
    return [
        (path, method.upper(), operation)
        for path, item in document["paths"].items()
        if path.startswith("/v2")
        for method, operation in item.items()
        if method != "parameters"
    ]


def resolved(document: Any, part: Any) -> Any:
    """A part of the document with its references put in."""
    if isinstance(part, list):
        return [resolved(document, entry) for entry in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return resolved(document, document["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    return {key: resolved(document, value) for key, value in part.items()}


def test_every_path_is_described_and_no_other(document: Any) -> None:
    routes = Rest(None, None, jobs=None, version="1").routes  # type: ignore[arg-type]
    served = {(path, method) for path, (method, _) in routes.items()}
    assert {(path, method) for path, method, _ in operations(document)} == served
    assert {"/healthz", "/readyz", "/metrics"} <= set(document["paths"])


def test_every_schema_is_one(document: Any) -> None:
    for schema in resolved(document, document["components"]["schemas"]).values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_parameter_of_a_path_is_described(document: Any) -> None:
    for path, item in document["paths"].items():
        if path.startswith("/v2"):
            names = re.findall(r"{(\w+)}", path)
            assert [parameter["name"] for parameter in item["parameters"]] == names


@pytest.mark.parametrize("missing", [[], ["routes"]])
@pytest.mark.parametrize(("model", "key"), [("m", HEADERS), ("nobody", HEADERS), ("m", {"x-api-key": "slk"})])
async def test_answers_are_as_described(
    document: Any, model: str, key: dict[str, str], missing: list[str]
) -> None:
    behind = rest_stand_in.behind()
    behind.missing.extend(missing)
    async with rest_stand_in.near(behind) as client:
        client.headers = httpx.Headers(key)
        for path, method, operation in operations(document):
            target = path.replace("{model}", model).replace("{version}", "1")
            body = EXAMPLE if path.endswith("infer") else None
            answer = await client.request(method, target, json=body)
            described = resolved(document, operation["responses"][str(answer.status_code)])
            jsonschema.validate(answer.json(), described["content"]["application/json"]["schema"])


async def test_requests_that_are_refused_are_not_as_described(document: Any) -> None:
    post = document["paths"]["/v2/models/{model}/infer"]["post"]
    schema = resolved(document, post["requestBody"]["content"]["application/json"]["schema"])
    jsonschema.validate(EXAMPLE, schema)
    async with rest_stand_in.near(rest_stand_in.behind()) as client:
        assert (await client.post("/v2/models/m/infer", json=EXAMPLE)).status_code == 200
        for broken in ({}, {"inputs": [{"name": "features"}]}, {"inputs": [], "parameters": {"timeout": -1}}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(broken, schema)
            assert (await client.post("/v2/models/m/infer", json=broken)).status_code == 400
