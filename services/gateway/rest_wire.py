"""The Open Inference Protocol in HTTP: JSON, with tensors in it or as bytes behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from services.gateway.domain import elements
from services.gateway.domain.checks import InputTensor
from services.gateway.domain.json_tensors import to_raw
from services.gateway.wire import Answer, InferCall, bounded
from slipway.errors import InvalidInput
from slipway.signature import TensorSpec
from slipway.tensors import DTYPES

HEADER_LENGTH: Final = b"inference-header-content-length"
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
Headers = list[tuple[bytes, bytes]]

_MICROSECONDS: Final = "a whole number of microseconds, 0 for none"
_INT: Final = frozenset({int})
_NONE: Final[Mapping[str, Any]] = {}
# Parameters of an output that would change what it holds: to pass over them would be to answer wrongly.
_NOT_SUPPORTED: Final = ("classification", "shared_memory_region")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Which outputs go back as bytes."""

    is_binary: bool
    by_output: Mapping[str, bool]  # what was said of single outputs


_ALL_JSON: Final = Form(is_binary=False, by_output={})
_ALL_BINARY: Final = Form(is_binary=True, by_output={})


def read_call(
    body: bytes, header_length: bytes | None, *, model: str, version: str
) -> tuple[InferCall, Form]:
    """Parse a request.

    Args:
        body: The whole body.
        header_length: The header of that name: where the JSON ends and tensors begin.
        model: From the path.
        version: From the path; empty leaves the choice to the route.
    Raises:
        InvalidInput: Not a request, or its parts contradict each other.
    """
    end = len(body) if header_length is None else _header_length(header_length, len(body))
    message = read_object(memoryview(body)[:end])
    parameters = _parameters(message, "the request")
    outputs = _list(message, "outputs")
    call = InferCall(
        model=model,
        version=version,
        request_id=_text(message.get("id", ""), "id"),
        unit=_text(parameters.get("slipway_unit", ""), "parameter slipway_unit"),
        business_key=_text(parameters.get("slipway_key", ""), "parameter slipway_key"),
        timeout_s=_whole(parameters, "timeout", what=_MICROSECONDS) / 1e6 or None,
        priority=_whole(parameters, "priority", what="1, 2 or 3, 0 for the default"),
        tensors=_tensors(_list(message, "inputs"), body, None if header_length is None else end),
        outputs=tuple([_name(output, "an output") for output in outputs]),
        is_raw=header_length is not None,
        protocol="rest",
    )
    return call, _form(parameters, outputs)


def read_object(data: bytes | memoryview) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidInput: It is none.
    """
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the request is not JSON: {error}") from error
    if type(message) is not dict:
        raise InvalidInput("the request is not a JSON object")
    return message


def write_answer(answer: Answer, form: Form) -> tuple[Headers, bytes]:
    """Headers and body of the reply."""
    message: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.request_id:
        message["id"] = answer.request_id
    message["parameters"] = answer.parameters
    outputs = message["outputs"] = []
    raws: list[bytes] = []
    for spec, raw in answer.outputs:
        output: dict[str, Any] = {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": (answer.rows, *spec.shape[1:]),
        }
        if form.by_output.get(spec.name, form.is_binary):
            output["parameters"] = {"binary_data_size": len(raw)}
            raws.append(raw)
        else:
            output["data"] = _data(spec, raw)
        outputs.append(output)
    head = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
    if not raws:
        return [(b"content-type", JSON), (b"content-length", b"%d" % len(head))], head
    body = b"".join((head, *raws))
    return [
        (b"content-type", BINARY),
        (HEADER_LENGTH, b"%d" % len(head)),
        (b"content-length", b"%d" % len(body)),
    ], body


def _data(spec: TensorSpec, raw: bytes) -> Any:
    if spec.datatype != "BYTES":
        return np.frombuffer(raw, dtype=DTYPES[spec.datatype])
    try:
        return [element.decode() for element in elements.split_all(raw)]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"output {spec.name!r} is not UTF-8: ask for it with binary_data") from error


def _header_length(text: bytes, body_bytes: int) -> int:
    if not text.isdigit() or len(text) > 9 or int(text) > body_bytes:
        raise InvalidInput(
            f"inference-header-content-length {text[:20].decode('latin-1')!r} must be the length of the "
            f"JSON, at most that of the body, {body_bytes}"
        )
    return int(text)


def _tensors(inputs: list[Any], body: bytes, start: int | None) -> tuple[InputTensor, ...]:
    """The tensors; those that are not in the JSON follow each other in the body from `start`."""
    tensors: list[InputTensor] = []
    at = len(body) if start is None else start
    for entry in inputs:
        name, shape = _name(entry, "an input"), entry.get("shape")
        datatype, parameters = entry.get("datatype"), _parameters(entry, "an input")
        if type(datatype) is not str or type(shape) is not list or not set(map(type, shape)) <= _INT:
            raise InvalidInput(f"input {name[:60]!r} needs a datatype and a shape of whole numbers")
        size = parameters.get("binary_data_size")
        if size is None:
            raw = to_raw(name, datatype, shape=shape, data=entry.get("data"))
        else:
            raw = _slice(entry, body, at=at, size=size, is_announced=start is not None)
            at += size
        tensors.append(InputTensor(name=name, datatype=datatype, shape=tuple(shape), raw=raw))
    if at != len(body):
        raise InvalidInput(f"{len(body) - at} bytes follow the JSON that no input's binary_data_size claims")
    return tuple(tensors)


def _slice(entry: Mapping[str, Any], body: bytes, *, at: int, size: Any, is_announced: bool) -> bytes:
    where = f"input {entry['name'][:60]!r}"
    if not is_announced:
        raise InvalidInput(f"{where} has a binary_data_size: send the header inference-header-content-length")
    if "data" in entry:
        raise InvalidInput(f"{where} has data and a binary_data_size: send one of them")
    if type(size) is not int or not 0 <= size <= len(body) - at:
        raise InvalidInput(f"{where}: binary_data_size {str(size)[:20]}, but {len(body) - at} bytes are left")
    return body[at : at + size]


def _list(message: Mapping[str, Any], key: str) -> list[Any]:
    value = message.get(key)
    if value is None:
        return []
    if type(value) is not list:
        raise InvalidInput(f"{key} must be a list")
    return value


def _name(entry: Any, what: str) -> str:
    name = entry.get("name") if type(entry) is dict else None
    if type(name) is not str:
        raise InvalidInput(f"{what} must be an object with a name")
    return name


def _parameters(entry: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    value = entry.get("parameters")
    if value is None:
        return _NONE
    if type(value) is not dict:
        raise InvalidInput(f"the parameters of {what} must be an object")
    return value


def _form(parameters: Mapping[str, Any], outputs: list[dict[str, Any]]) -> Form:
    form = _ALL_BINARY if _flag(parameters, "binary_data_output") else _ALL_JSON
    if not outputs:
        return form
    said = {output["name"]: _binary_data(output) for output in outputs}
    by_output = {name: flag for name, flag in said.items() if flag is not None}
    return Form(is_binary=form.is_binary, by_output=by_output)


def _binary_data(output: Mapping[str, Any]) -> bool | None:
    parameters = _parameters(output, "an output")
    for name in _NOT_SUPPORTED:
        if name in parameters:
            raise InvalidInput(f"output {output['name'][:60]!r}: parameter {name} is not supported")
    return _flag(parameters, "binary_data")


def _flag(parameters: Mapping[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and type(value) is not bool:
        raise InvalidInput(f"parameter {name} must be true or false")
    return value


def _text(value: Any, what: str) -> str:
    if type(value) is not str:
        raise InvalidInput(f"{what} must be a string")
    return bounded(what, value)


def _whole(parameters: Mapping[str, Any], name: str, *, what: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise InvalidInput(f"parameter {name} must be {what}")
    return value
