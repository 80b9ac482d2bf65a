"""/v2 as an application, with the pipeline behind it stood in for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from services.gateway.catalog import Catalog
from services.gateway.directory import Directory
from services.gateway.domain.checks import check_inputs, check_outputs
from services.gateway.domain.elements import join
from services.gateway.domain.job_options import JobOptions
from services.gateway.handlers.jobs import Submitted
from services.gateway.handlers.models import Models
from services.gateway.openapi import describe
from services.gateway.permissions import Permissions
from services.gateway.rest import Rest
from services.gateway.stages import UNMEASURED, Stages
from services.gateway.wire import Answer, InferCall
from slipway import web
from slipway.http_protocol import EXTENSION
from slipway.identity.api_keys import ApiKey, mac_of, text_of
from slipway.identity.authenticator import Authenticator
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials
from slipway.identity.key_book import KeyBook
from slipway.policy.access import builtin_policies
from slipway.v1.rollout_pb2 import Arm, ModelSpec, RouteTable
from tests.identity.known import authenticator_of
from tests.service_process import free_port

PEPPER = b"p" * 32
TEXT = text_of("k1", "secret")
HEADERS = {"authorization": f"Bearer {TEXT}"}
PARAMETERS: dict[str, str | int] = {
    "slipway_prediction_id": "p",
    "slipway_feedback_token": "t",
    "slipway_arm": "champion",
    "slipway_route_epoch": 1,
}
SPEC = """
name: m
task: binary
features: [{name: a, nullable: true}, {name: b}]
label: {name: y, classes: ["0", "1"]}
serving: {max_batch_rows: 8}
"""


class Predictions:
    """Checks as the pipeline does, and answers 0.5 for everything; or fails as a test says."""

    def __init__(self, catalog: Catalog, authenticator: Authenticator) -> None:
        self._catalog = catalog
        self._authenticator = authenticator
        self.calls: list[InferCall] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.is_cancelled = asyncio.Event()

    def identify(self, credentials: Credentials) -> Caller:
        return self._authenticator.identify(credentials)

    def begin(self) -> Stages:
        return UNMEASURED

    async def answer(
        self, caller: ApiKey, call: InferCall, *, budget_s: float | None, stages: Stages
    ) -> Answer:
        assert budget_s is None
        model = self._catalog.find(call.model, tenant=caller.tenant)
        rows = check_inputs(model.contract, call.tensors).rows
        wanted = check_outputs(model.contract, call.outputs)
        self.calls.append(call)
        await self._wait()
        if self.error is not None:
            raise self.error
        raws = {
            "label": join([b"1"] * rows),
            "probabilities": np.full((rows, 2), 0.5, dtype="<f4").tobytes(),
        }
        by_name = {spec.name: spec for spec in model.contract.signature.outputs}
        return Answer(
            model=call.model,
            version=call.version or "1",
            request_id=call.request_id,
            parameters=PARAMETERS,
            rows=rows,
            is_raw=call.is_raw,
            outputs=[(by_name[name], raws[name]) for name in wanted],
        )

    async def _wait(self) -> None:
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.is_cancelled.set()
            raise


class Jobs:
    """Takes every job."""

    def __init__(self) -> None:
        self.taken: list[InferCall] = []

    async def take(self, _caller: ApiKey, call: InferCall, _options: JobOptions) -> Submitted:
        self.taken.append(call)
        return Submitted(job_id="j-1", expires_at_s=9.5)


def catalog() -> Catalog:
    it = Catalog()
    it.apply_spec(ModelSpec(name="m", revision=1, yaml=SPEC))
    arms = [
        Arm(version="1", upstream="127.0.0.1:1", role="champion", weight_ppm=1_000_000),
        Arm(version="2", role="standby"),
    ]
    it.apply_route(RouteTable(model="m", epoch=1, salt="s", arms=arms))
    it.apply_spec(ModelSpec(name="n", revision=1, yaml=SPEC.replace("name: m", "name: n")))
    it.apply_spec(ModelSpec(name="o", tenant="other", revision=1, yaml=SPEC.replace("name: m", "name: o")))
    return it


@dataclass(kw_only=True)
class Behind:
    """What a test may reach behind the application."""

    predictions: Predictions
    jobs: Jobs
    front: web.Front
    missing: list[str] = field(default_factory=list)  # what the gateway waits for


def behind() -> Behind:
    known, book, missing = catalog(), KeyBook(PEPPER), list[str]()
    book.replace([ApiKey(key_id="k1", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT))])
    who, permissions = authenticator_of(book), Permissions(builtin_policies(), known)
    models = Models(known, Directory(), authenticator=who, permissions=permissions, not_ready=lambda: missing)
    predictions: Any = Predictions(known, who)
    jobs: Any = Jobs()
    app = web.application("gateway", not_ready=lambda: missing)
    describe(app)
    front = web.Front(app)
    front.mount("v2", Rest(predictions, models, jobs=jobs, version="1.2.3"))
    return Behind(predictions=predictions, jobs=jobs, front=front, missing=missing)


class _Caller:
    answering = None
    is_gone = False
    certificate = b""


@asynccontextmanager
async def near(it: Behind) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a socket."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await it.front({**scope, "extensions": {EXTENSION: _Caller()}}, receive, send)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(base_url="http://gateway", headers=HEADERS, transport=transport) as client:
        yield client


@asynccontextmanager
async def far(it: Behind) -> AsyncIterator[httpx.AsyncClient]:
    """A client on a real socket."""
    port = free_port()
    async with (
        web.serving(it.front, host="127.0.0.1", port=port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=30) as client,
    ):
        yield client
