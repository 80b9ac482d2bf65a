"""One call of each route, made from the table of routes, and what the caller is told."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import requests
from google.protobuf import message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from slipway.oip import open_inference_pb2
from slipway.v1 import feedback_pb2, jobs_pb2, keys_pb2, limits_pb2, notices_pb2, rollout_pb2
from tests.gateway.live import request
from tests.gateway.role_matrix import NOTHING, OK

_CODES: Final = {
    **{200: OK, 202: OK, 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"},
    **{409: "FAILED_PRECONDITION", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE"},
}
_TIMEOUT_S: Final = 20
_FILES: Final = (
    *(health_pb2, reflection_pb2, open_inference_pb2, feedback_pb2, jobs_pb2),
    *(keys_pb2, limits_pb2, notices_pb2, rollout_pb2),
)
_METHODS: Final[dict[str, Any]] = {
    f"/{service.full_name}/{method.name}": method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the ports are, and what the tenant `default` has there.

    Attributes:
        model: Answered by the gateway.
        rolled_out: Known to the rollout service, with its spec.
        key_id: A key that was revoked.
        job: Of the principal `p`.
    """

    public: str
    operators: str
    rollout: str
    url: str
    model: str
    rolled_out: str
    spec: str
    digest: str
    key_id: str
    job: str = ""


def _fields(place: Place) -> dict[str, dict[str, Any]]:
    """What a message says, by its name; a field `model` is filled in where nothing is said."""
    infer = request(place.model)
    item = {"prediction_id": "p-1", "model": place.model, "label": "1"}
    return {
        "inference.ModelMetadataRequest": {"name": place.model},
        "inference.ModelConfigRequest": {"name": place.model},
        "inference.ModelReadyRequest": {"name": place.model},
        "slipway.v1.SubmitJobRequest": {"request": infer},
        "slipway.v1.GetJobRequest": {"job_id": place.job},
        "slipway.v1.CancelJobRequest": {"job_id": place.job},
        "slipway.v1.SubmitFeedbackRequest": {"items": [item]},
        "slipway.v1.CreateKeyRequest": {"principal": "made", "tenant": "default"},
        "slipway.v1.RotateKeyRequest": {"key_id": place.key_id},
        "slipway.v1.RevokeKeyRequest": {"key_id": place.key_id},
        "slipway.v1.ShowLimitsRequest": {"tenant": "default"},
        "slipway.v1.TrustedInferRequest": {
            **{"tenant": "default", "principal": "p", "prediction_id": "p-1"},
            "request": infer.SerializeToString(),
        },
        "slipway.v1.ApplySpecRequest": {"yaml": place.spec, "actor": "anna"},
        "slipway.v1.StartRolloutRequest": {
            **{"model": place.rolled_out, "version": "1", "digest": place.digest},
        },
    }


def _message(described: Any, place: Place) -> Message:
    made = message_factory.GetMessageClass(described)
    if described.full_name == "inference.ModelInferRequest":
        return request(place.model)
    fields = _fields(place).get(described.full_name)
    if fields is None:
        fields = {"model": place.rolled_out} if "model" in described.fields_by_name else {}
    return made(**fields)


def by_grpc(channel: grpc.Channel, path: str, *, place: Place, credentials: str) -> str:
    """What the caller hears of one call."""
    method = _METHODS[path]
    message = _message(method.input_type, place)
    how: dict[str, Any] = {
        "request_serializer": type(message).SerializeToString,
        "response_deserializer": message_factory.GetMessageClass(method.output_type).FromString,
    }
    metadata = (("authorization", credentials),) if credentials else ()
    options: dict[str, Any] = {"metadata": metadata, "timeout": _TIMEOUT_S}
    try:
        if method.client_streaming:
            answer = next(channel.stream_stream(path, **how)(iter([message]), **options))
        elif method.server_streaming:
            stream = channel.unary_stream(path, **how)(message, **options)
            answer = next(stream)
            stream.cancel()
        else:
            answer = channel.unary_unary(path, **how)(message, **options)
    except grpc.RpcError as error:
        return str(error.code().name)
    return _seen(path, str(answer), place)


def by_rest(session: requests.Session, route: str, *, place: Place, credentials: str) -> str:
    """What the caller hears of one request."""
    method, _, template = route.partition(" ")
    path = template.format(model=place.model, version="1", job_id=place.job)
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}
    bodies: dict[str, Any] = {
        "infer": {"inputs": [tensor]},
        "jobs": {"model_name": place.model, "inputs": [tensor]},
        "feedback": {"prediction_id": "p-1", "model": place.model, "label": "1"},
    }
    body = bodies.get(template.rpartition("/")[2], {}) if method == "POST" else None
    headers = {"authorization": credentials} if credentials else {}
    answer = session.request(method, place.url + path, json=body, headers=headers, timeout=_TIMEOUT_S)
    said = _CODES[answer.status_code]
    return _seen(template, json.dumps(answer.text), place) if said == OK else said


_LISTS: Final[dict[str, Callable[[Place], str]]] = {
    "/RepositoryIndex": lambda place: place.model,
    "/repository/index": lambda place: place.model,
    "/ListKeys": lambda place: place.key_id,
    "/ListModels": lambda place: place.rolled_out,
}


def _seen(path: str, answer: str, place: Place) -> str:
    """A list counts where what is asked about stands in it."""
    looked_for = next((find(place) for end, find in _LISTS.items() if path.endswith(end)), "")
    return OK if looked_for in answer else NOTHING
