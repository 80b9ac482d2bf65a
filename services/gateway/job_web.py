"""HTTP of jobs: submit, look, cancel."""

import math
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import ORJSONResponse
from google.protobuf.message import DecodeError

from services.gateway.domain.job_options import JobOptions
from services.gateway.handlers.jobs import JobDoor, Submitted
from services.gateway.job_replies import LOOK_AGAIN_S, accepted_body, accepted_headers
from services.gateway.job_rpc import options_of
from services.gateway.web import credentials_of, read_body
from slipway import oip_json
from slipway.errors import InvalidInput
from slipway.job_json import describe
from slipway.job_terms import ENDED
from slipway.v1.jobs_pb2 import SubmitJobRequest

_PROTOBUF: Final = ("application/x-protobuf", "application/protobuf")
_TEXT_OPTIONS: Final = ("priority", "callback_url", "reply_topic", "submission_id")


def add_job_routes(app: FastAPI, door: JobDoor) -> None:
    """Add POST /v1/jobs, GET and DELETE /v1/jobs/{id}, and GET /v1/callback-secret."""

    @app.post("/v1/jobs", status_code=202)
    async def submit(request: Request) -> Response:
        caller = door.identify(credentials_of(request))
        body = await read_body(request)
        is_protobuf = request.headers.get("content-type", "").split(";")[0].strip().lower() in _PROTOBUF
        data, options = parse_protobuf(body) if is_protobuf else parse_json(body)
        return accepted(await door.take(caller, data, options))

    @app.get("/v1/jobs/{job_id}")
    async def find(request: Request, job_id: str) -> Response:
        caller = door.identify(credentials_of(request))
        job = await door.find(caller, job_id, wait_s=_seconds(request.query_params.get("wait_s", "0")))
        headers = {} if job.state in ENDED else {"retry-after": LOOK_AGAIN_S}
        return ORJSONResponse(describe(job), headers=headers)

    @app.delete("/v1/jobs/{job_id}")
    async def cancel(request: Request, job_id: str) -> Response:
        caller = door.identify(credentials_of(request))
        return ORJSONResponse(describe(await door.cancel(caller, job_id)))

    @app.get("/v1/callback-secret")
    async def callback_secret(request: Request) -> Response:
        caller = door.identify(credentials_of(request))
        return ORJSONResponse({"secret": await door.callback_secret(caller)})


def accepted(submitted: Submitted) -> Response:
    """202 and where to look."""
    return ORJSONResponse(accepted_body(submitted), status_code=202, headers=accepted_headers(submitted))


def parse_protobuf(body: bytes) -> tuple[bytes, JobOptions]:
    """A serialized slipway.v1.SubmitJobRequest.

    Raises:
        InvalidInput: It is none.
    """
    try:
        request = SubmitJobRequest.FromString(body)
    except DecodeError as error:
        raise InvalidInput(f"the body is not a slipway.v1.SubmitJobRequest: {error}") from error
    return request.request.SerializeToString(), options_of(request)


def parse_json(body: bytes) -> tuple[bytes, JobOptions]:
    """The protocol's JSON object with `model_name`, and the options of the job under `job`.

    Raises:
        InvalidInput: Names the field.
    """
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput("the body is not an object with model_name and inputs")
    model = document.get("model_name")
    if not isinstance(model, str) or not model:
        raise InvalidInput("model_name is missing")
    return oip_json.read_request(document, model=model).SerializeToString(), _options(document.get("job", {}))


def _options(given: Any) -> JobOptions:
    if not isinstance(given, dict):
        raise InvalidInput("job is not an object with the options of the job")
    unknown = set(given) - {*_TEXT_OPTIONS, "ttl_s"}
    if unknown:
        raise InvalidInput(f"job has unknown options: {', '.join(sorted(unknown))[:200]}")
    texts = {name: given.get(name, "") for name in _TEXT_OPTIONS}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise InvalidInput(f"job.{name} is not text")
    ttl_s = given.get("ttl_s", 0)
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float):
        raise InvalidInput("job.ttl_s is not a number")
    return JobOptions(ttl_s=float(ttl_s), **texts)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidInput(f"wait_s {text[:40]!r} is not a number") from error
    if not math.isfinite(value):
        raise InvalidInput(f"wait_s {text[:40]!r} is not a number of seconds")
    return value
