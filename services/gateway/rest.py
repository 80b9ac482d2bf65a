"""HTTP: the Open Inference Protocol under /v2, as a bare ASGI application: nothing stands between the bytes
that came and the pipeline of a prediction."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from services.gateway import metrics, oip, rest_wire
from services.gateway.domain.job_options import JobOptions
from services.gateway.handlers.jobs import JobDoor, Submitted
from services.gateway.handlers.models import Models
from services.gateway.handlers.predict import Predictions
from services.gateway.http_body import CallerGone, read_body
from services.gateway.job_replies import accepted_body, accepted_headers
from services.gateway.rest_wire import JSON, Headers
from services.gateway.stages import AUTHENTICATE, PARSE, SERIALIZE
from slipway.errors import InvalidInput, SlipwayError
from slipway.http_protocol import EXTENSION
from slipway.identity.credentials import Credentials, from_headers
from slipway.policy.routes import check_http
from slipway.signature import TensorSpec
from slipway.web import Receive, Scope, Send, retry_headers, status_of

Reply = tuple[int, Headers, bytes]
Handler = Callable[["_Call"], Awaitable[Reply]]

_ARM: Final = b"slipway-arm"
_CHALLENGE: Final = (b"www-authenticate", b"Bearer")
_MESSAGE: Final = metrics.REFUSALS.labels("message")


class _Call:
    """One HTTP request and what its path names."""

    __slots__ = ("headers", "model", "receive", "scope", "version")

    def __init__(self, scope: Scope, receive: Receive, *, model: str, version: str) -> None:
        self.scope = scope
        self.receive = receive
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.model = model
        self.version = version

    def credentials(self) -> Credentials:
        """What the caller shows.

        Raises:
            Unauthenticated: Several at once.
        """
        return from_headers(self.scope["headers"], self.scope["extensions"][EXTENSION].certificate)


class Rest:
    """The application under /v2."""

    def __init__(self, predictions: Predictions, models: Models, *, jobs: JobDoor, version: str) -> None:
        self._predictions = predictions
        self._models = models
        self._jobs = jobs
        self._version = version
        model, one = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        self.routes: Mapping[str, tuple[str, Handler]] = {
            "/v2": ("GET", self._server),
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._ready),
            "/v2/repository/index": ("POST", self._index),
            "/v2/repository/models/{model}/load": ("POST", self._load),
            "/v2/repository/models/{model}/unload": ("POST", self._load),
            **{f"{path}/infer": ("POST", self._infer) for path in (model, one)},
            **{f"{path}/ready": ("GET", self._model_ready) for path in (model, one)},
            **{f"{path}/config": ("GET", self._config) for path in (model, one)},
            **dict.fromkeys((model, one), ("GET", self._model)),
        }
        check_http(f"{method} {path}" for path, (method, _) in self.routes.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one whose caller has left is dropped."""
        caller = scope["extensions"][EXTENSION]
        caller.answering = asyncio.current_task()
        try:
            status, headers, body = await self._reply(scope, receive)
        except CallerGone:
            return
        except asyncio.CancelledError:
            if caller.is_gone:
                return
            raise
        finally:
            caller.answering = None
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        template, model, version = resolve(scope["path"])
        route = self.routes.get(template)
        if route is None:
            return error_reply(404, f"{scope['path'][:100]} is not a path of this server; see /openapi.json")
        method, handler = route
        if scope["method"] != method:
            reply = error_reply(405, f"{template} takes {method}")
            reply[1].append((b"allow", method.encode()))
            return reply
        call = _Call(scope, receive, model=model, version=version)
        try:
            return await handler(call)
        except CallerGone:
            raise
        except SlipwayError as error:
            return refusal(error)

    async def _infer(self, call: _Call) -> Reply:
        stages = self._predictions.begin()
        caller = self._predictions.identify(call.credentials())
        stages.lap(AUTHENTICATE)
        try:
            body = await read_body(call.headers, call.receive)
            parsed, form = rest_wire.read_call(
                body,
                call.headers.get(rest_wire.HEADER_LENGTH),
                model=call.model,
                version=call.version,
            )
        except InvalidInput:
            _MESSAGE.inc()
            raise
        parsed.arm = call.headers.get(_ARM, b"").decode("latin-1")
        if prefers_job(call.headers):
            if parsed.arm:
                raise InvalidInput("slipway-arm does not go with a job: name the version in the path")
            return _accepted(await self._jobs.take(caller, parsed, JobOptions()))
        stages.lap(PARSE)
        answer = await self._predictions.answer(caller, parsed, budget_s=None, stages=stages)
        headers, data = rest_wire.write_answer(answer, form)
        headers += [(name.encode(), value.encode()) for name, value in answer.limits]
        stages.lap(SERIALIZE)
        stages.tell(parsed.model)
        return 200, headers, data

    async def _server(self, _call: _Call) -> Reply:
        about = {"name": oip.SERVER_NAME, "version": self._version, "extensions": oip.EXTENSIONS}
        return json_reply(200, about)

    async def _live(self, _call: _Call) -> Reply:
        return json_reply(200, {"live": True})

    async def _ready(self, _call: _Call) -> Reply:
        is_ready = self._models.is_server_ready()
        # The standard's text calls the key `live` here, too; servers and clients say `ready`.
        return json_reply(200 if is_ready else 503, {"ready": is_ready, "live": is_ready})

    async def _model_ready(self, call: _Call) -> Reply:
        """503 for an unknown model as well, so that clients can wait for it."""
        is_ready = self._models.is_ready(call.model, call.version)
        return json_reply(200 if is_ready else 503, {"name": call.model, "ready": is_ready})

    async def _model(self, call: _Call) -> Reply:
        model, versions = self._models.describe(call.model, call.version, credentials=call.credentials())
        signature, parameters = model.contract.signature, oip.input_parameters(model.contract)
        about = {
            "name": model.name,
            "versions": versions,
            "platform": oip.PLATFORM,
            "inputs": [{**_tensor(spec), "parameters": parameters} for spec in signature.inputs],
            "outputs": [_tensor(spec) for spec in signature.outputs],
        }
        return json_reply(200, about)

    async def _config(self, call: _Call) -> Reply:
        model, _ = self._models.describe(call.model, call.version, credentials=call.credentials())
        signature = model.contract.signature
        about = {
            "name": model.name,
            "platform": oip.PLATFORM,
            "max_batch_size": model.contract.max_batch_rows,
            "input": [_configured(spec) for spec in signature.inputs],
            "output": [_configured(spec) for spec in signature.outputs],
        }
        return json_reply(200, about)

    async def _index(self, call: _Call) -> Reply:
        credentials = call.credentials()
        self._models.authenticate(credentials)
        body = await read_body(call.headers, call.receive)
        only_ready = (rest_wire.read_object(body) if body.strip() else {}).get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidInput("ready must be true or false")
        entries = self._models.index(credentials=credentials, only_ready=only_ready)
        return json_reply(200, entries)

    async def _load(self, call: _Call) -> Reply:
        self._models.check_loading(credentials=call.credentials())
        return error_reply(501, oip.NO_LOADING)


def resolve(path: str) -> tuple[str, str, str]:
    """The template of a path, and the model and version that stand in it."""
    parts = path.rstrip("/").split("/")
    model = version = ""
    at = {"models": 3, "repository": 4}.get(parts[2], len(parts)) if len(parts) > 2 else len(parts)
    if len(parts) > at:
        model, parts[at] = parts[at], "{model}"
    if len(parts) > 5 and parts[4] == "versions":
        version, parts[5] = parts[5], "{version}"
    return "/".join(parts), model, version


def refusal(error: SlipwayError) -> Reply:
    """What a caller is told of an error."""
    status, reply_headers, body = error_reply(status_of(error), str(error))
    reply_headers += [(name.encode(), value.encode()) for name, value in retry_headers(error).items()]
    if status == 401:
        reply_headers.append(_CHALLENGE)
    return status, reply_headers, body


def error_reply(status: int, message: str) -> Reply:
    """An error in the protocol's form."""
    return json_reply(status, {"error": message})


def prefers_job(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the caller would rather come back for the answer: `Prefer: respond-async` (RFC 7240, 4.1)."""
    wishes = headers.get(b"prefer", b"").lower().split(b",")
    return any(wish.split(b";")[0].strip() == b"respond-async" for wish in wishes)


def _accepted(submitted: Submitted) -> Reply:
    status, headers, body = json_reply(202, accepted_body(submitted))
    headers += [(name.encode(), value.encode()) for name, value in accepted_headers(submitted).items()]
    return status, headers, body


def json_reply(status: int, content: Any) -> Reply:
    """JSON with its length."""
    body = orjson.dumps(content)
    return status, [(b"content-type", JSON), (b"content-length", b"%d" % len(body))], body


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}


def _configured(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": oip.CONFIG_TYPES[spec.datatype], "dims": spec.shape[1:]}
