"""The table of routes is the services as they are registered: nothing more, nothing less."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fastapi import FastAPI
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import slipway.oip
import slipway.v1
from services.gateway.job_rpc import ASYNC_SERVICE, TRUSTED_SERVICE
from services.gateway.job_web import add_job_routes
from services.gateway.key_rpc import KEYS_SERVICE
from services.gateway.record_status import add_record_status
from services.gateway.rest import Rest
from services.gateway.rpc import (
    FEEDBACK_SERVICE,
    OIP_SERVICE,
    FeedbackService,
    InferenceService,
)
from services.gateway.web import add_routes
from slipway import web
from slipway.errors import InvalidInput
from slipway.policy.gate import PolicyGate
from slipway.policy.routes import ACTIONS, GRPC, HTTP, By, check_http, check_service
from slipway.policy.rules import schema_text

ANY: Any = object()


def service_blocks() -> Iterator[Any]:
    """Every `service` of our protos, of the Open Inference Protocol, and of gRPC's own that are served."""
    files = {health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR}
    for package in (slipway.v1, slipway.oip):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith("_pb2"):
                files.add(importlib.import_module(f"{package.__name__}.{module.name}").DESCRIPTOR)
    for file in files:
        yield from file.services_by_name.values()


def gateway_app() -> FastAPI:
    app = web.application("gateway", not_ready=list)
    add_routes(app, ANY)
    add_job_routes(app, ANY)
    add_record_status(app, ANY, gaps=ANY, debtor=ANY)
    return app


def test_every_method_of_every_service_has_an_action_and_every_row_a_method() -> None:
    offered = {f"/{s.full_name}/{m.name}" for s in service_blocks() for m in s.methods}
    assert offered == set(GRPC)


def test_every_path_has_an_action_and_every_row_a_path() -> None:
    rest = Rest(ANY, ANY, jobs=ANY, version="1")
    bare = {f"{method} {path}" for path, (method, _) in rest.routes.items()}
    assert bare | set(web.offered(gateway_app())) == set(HTTP)


def test_the_methods_that_take_bytes_are_those_of_the_descriptors() -> None:
    raw = {
        OIP_SERVICE: InferenceService(ANY, ANY, version="1").methods,
        FEEDBACK_SERVICE: FeedbackService(ANY).methods,
    }
    for name, methods in raw.items():
        described = descriptor_pool.Default().FindServiceByName(name).methods
        assert {m.name for m in described} == set(methods)


def test_every_action_stands_in_the_schema_and_what_is_open_says_why() -> None:
    for name, route in {**GRPC, **HTTP}.items():
        assert bool(route.action) != bool(route.why_open), name
        assert (route.by is By.NOBODY) == bool(route.why_open), name
        assert not route.action or route.action in ACTIONS, name
    declared = re.findall(r"^action (.*)$", schema_text(), re.MULTILINE)
    assert sorted(", ".join(declared).split(", ")) == sorted(ACTIONS)


def test_what_stands_on_the_public_port_is_asked_by_its_handler() -> None:
    # The public server has no gate before its handlers: a row that waits for one would be asked by nobody.
    public = (OIP_SERVICE, FEEDBACK_SERVICE, ASYNC_SERVICE)
    rows = {name: route for name, route in GRPC.items() if name.split("/")[1] in public}
    assert {route.by for route in rows.values()} == {By.HANDLER, By.NOBODY}
    assert {route.by for route in HTTP.values()} == {By.HANDLER, By.NOBODY}
    assert {GRPC[f"/{KEYS_SERVICE}/CreateKey"].by, GRPC[f"/{TRUSTED_SERVICE}/Infer"].by} == {
        By.TENANT,
        By.CALLER,
    }


def test_what_is_asked_about_a_model_or_a_tenant_has_such_a_field() -> None:
    for service in service_blocks():
        for method in service.methods:
            route = GRPC[f"/{service.full_name}/{method.name}"]
            if route.by in (By.MODEL, By.TENANT):
                assert route.by.name.lower() in method.input_type.fields_by_name, method.full_name


def test_a_service_with_a_method_that_is_not_listed_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_service(KEYS_SERVICE)
    rest = {name: route for name, route in GRPC.items() if not name.endswith("RevokeKey")}
    monkeypatch.setattr("slipway.policy.routes.GRPC", rest)
    with pytest.raises(InvalidInput, match="KeyAdmin/RevokeKey"):
        check_service(KEYS_SERVICE)


def test_an_application_with_a_path_that_is_not_listed_does_not_start() -> None:
    app = gateway_app()
    check_http(web.offered(app))

    @app.get("/v1/secrets")
    async def secrets() -> None:
        return None

    with pytest.raises(InvalidInput, match="GET /v1/secrets"):
        check_http(web.offered(app))


async def test_a_method_that_is_not_listed_is_refused_before_its_handler() -> None:
    async def handler(_details: Any) -> Any:
        raise AssertionError("the handler was asked for")

    class Context:
        async def abort(self, code: grpc.StatusCode, _words: str) -> None:
            self.code = code

    class Details:
        method = "/slipway.v1.RolloutControl/Explode"
        invocation_metadata: Any = None

    none, details = ANY, Details()
    refusal = await PolicyGate(none).intercept_service(handler, details)
    context = Context()
    await refusal.unary_unary(None, context)
    assert context.code is grpc.StatusCode.PERMISSION_DENIED
