"""HTTP: feedback for applications that speak neither Kafka nor gRPC."""

from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import ORJSONResponse
from google.protobuf import json_format

from services.gateway import http_body
from services.gateway.handlers.feedback import FeedbackDoor
from slipway.errors import InvalidInput
from slipway.http_protocol import EXTENSION
from slipway.identity.credentials import Credentials, from_headers
from slipway.v1.feedback_pb2 import FeedbackReceived

_DEPTH = 20


def add_routes(app: FastAPI, door: FeedbackDoor) -> None:
    """Add POST /v1/feedback: one item or a list, in the proto3 JSON mapping of FeedbackReceived."""

    @app.post("/v1/feedback", status_code=202)
    async def feedback(request: Request) -> ORJSONResponse:
        caller = door.authenticate(credentials_of(request))
        items = parse_items(await read_body(request))
        ids = await door.take(items, caller=caller, protocol="http")
        return ORJSONResponse({"feedback_ids": ids}, status_code=202)


def parse_items(body: bytes) -> list[FeedbackReceived]:
    """Read one item or a list of them.

    Raises:
        InvalidInput: Not JSON, or not feedback.
    """
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from error
    return [_item(entry, index) for index, entry in enumerate(data if isinstance(data, list) else [data])]


def _item(entry: Any, index: int) -> FeedbackReceived:
    if not isinstance(entry, dict):
        raise InvalidInput(f"items[{index}] is not an object with the fields of FeedbackReceived")
    try:
        return json_format.ParseDict(entry, FeedbackReceived(), max_recursion_depth=_DEPTH)
    except json_format.ParseError as error:
        raise InvalidInput(f"items[{index}]: {error}") from error


async def read_body(request: Request) -> bytes:
    """The whole body, decompressed and bounded as `http_body.read_body` says."""
    return await http_body.read_body(dict(request.headers.raw), request.receive)


def credentials_of(request: Request) -> Credentials:
    """What the caller shows: in the headers, or by the certificate of his connection.

    Raises:
        Unauthenticated: Several at once.
    """
    return from_headers(request.headers.raw, request.scope["extensions"][EXTENSION].certificate)
