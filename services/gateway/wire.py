"""Open Inference Protocol messages to plain data and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from services.gateway.domain import elements
from services.gateway.domain.batching import Columns
from services.gateway.domain.checks import InputTensor
from services.gateway.domain.rate_limit_fields import Fields
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse
from slipway.signature import TensorSpec

# Where a datatype's elements stand when they are not raw, and their dtype.
_TYPED: Final = {
    "BOOL": ("bool_contents", "?"),
    "INT32": ("int_contents", "<i4"),
    "INT64": ("int64_contents", "<i8"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
    "BYTES": ("bytes_contents", ""),
}
_MAX_TEXT: Final = 1024

Parameters = dict[str, str | int | float | bool]


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class InferCall:
    """A ModelInfer request, taken apart and not yet checked against a model."""

    model: str
    version: str
    request_id: str
    unit: str
    business_key: str
    timeout_s: float | None
    priority: int = 0  # as the protocol has it: 1 is the highest, 0 the default
    tensors: tuple[InputTensor, ...]
    outputs: tuple[str, ...]
    is_raw: bool
    protocol: str = "grpc"
    prediction_id: str = ""  # of a job, which may come twice; else a new one is made
    arm: str = ""  # the role of the arm that a tester chose; empty leaves the choice to the route

    @property
    def rows(self) -> int:
        """As the request says, not yet checked."""
        return max(0, self.tensors[0].shape[0]) if self.tensors and self.tensors[0].shape else 0


# Not frozen, as it is made for every request: that would triple its cost.
@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back to the caller."""

    model: str
    version: str
    request_id: str
    parameters: Mapping[str, str | int | float | bool]
    rows: int
    is_raw: bool
    outputs: Sequence[tuple[TensorSpec, bytes]]  # the wanted ones, raw, in the order asked for
    limits: Fields = ()  # how the caller's limits stand, as headers


def read_call(data: bytes) -> InferCall:
    """Parse a request.

    Raises:
        InvalidInput: Not a ModelInferRequest, or its parts contradict each other.
    """
    try:
        message = ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise InvalidInput(f"the bytes are not an inference.ModelInferRequest: {error}") from error
    parameters = message.parameters
    return InferCall(
        model=message.model_name,
        version=message.model_version,
        request_id=bounded("id", message.id),
        unit=_text_parameter(parameters, "slipway_unit") if parameters else "",
        business_key=_text_parameter(parameters, "slipway_key") if parameters else "",
        timeout_s=_timeout_s(parameters) if parameters else None,
        priority=_priority(parameters) if parameters else 0,
        tensors=_tensors(message),
        outputs=tuple([output.name for output in message.outputs]) if message.outputs else (),
        is_raw=bool(message.raw_input_contents),
    )


def write_call(
    model: str, version: str, *, inputs: Sequence[TensorSpec], columns: Columns, rows: int
) -> bytes:
    """A request to an upstream server, in raw form."""
    tensors = [
        ModelInferRequest.InferInputTensor(
            name=spec.name, datatype=spec.datatype, shape=(rows, *spec.shape[1:])
        )
        for spec in inputs
    ]
    request = ModelInferRequest(
        model_name=model, model_version=version, inputs=tensors, raw_input_contents=columns
    )
    return request.SerializeToString()


def read_answer(data: bytes) -> dict[str, tuple[str, bytes]]:
    """Datatype and raw bytes of each tensor of an upstream server's answer, however it sent them.

    Raises:
        InvalidInput: Not a ModelInferResponse, or its parts contradict each other.
    """
    try:
        message = ModelInferResponse.FromString(data)
    except DecodeError as error:
        raise InvalidInput(f"the bytes are not an inference.ModelInferResponse: {error}") from error
    raws = message.raw_output_contents
    if raws and len(raws) != len(message.outputs):
        raise InvalidInput(f"{len(message.outputs)} outputs, but {len(raws)} raw_output_contents")
    if raws:
        return {o.name: (o.datatype, raw) for o, raw in zip(message.outputs, raws, strict=True)}
    return {o.name: (o.datatype, _typed_to_raw(o.name, o.datatype, o.contents)) for o in message.outputs}


def write_answer(answer: Answer) -> bytes:
    """The reply, raw or typed as the request was."""
    message = ModelInferResponse(model_name=answer.model, model_version=answer.version, id=answer.request_id)
    for name, value in answer.parameters.items():
        if isinstance(value, bool):
            message.parameters[name].bool_param = value
        elif isinstance(value, float):
            message.parameters[name].double_param = value
        elif isinstance(value, int):
            message.parameters[name].int64_param = value
        else:
            message.parameters[name].string_param = value
    for spec, column in answer.outputs:
        shape = (answer.rows, *spec.shape[1:])
        tensor = message.outputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
        if answer.is_raw:
            message.raw_output_contents.append(column)
        else:
            _raw_to_typed(spec.datatype, column, contents=tensor.contents)
    return message.SerializeToString()


def _tensors(message: ModelInferRequest) -> tuple[InputTensor, ...]:
    raws = message.raw_input_contents
    if not raws:
        return tuple([_input(t, _typed_to_raw(t.name, t.datatype, t.contents)) for t in message.inputs])
    if len(raws) != len(message.inputs):
        raise InvalidInput(
            f"{len(message.inputs)} inputs, but {len(raws)} raw_input_contents: send one for each, in order"
        )
    for tensor in message.inputs:
        if tensor.HasField("contents") and tensor.contents.ListFields():
            raise InvalidInput(
                f"input {tensor.name[:60]!r} has contents, and the request has raw_input_contents: "
                "send all tensors one way"
            )
    return tuple([_input(t, raw) for t, raw in zip(message.inputs, raws, strict=True)])


def _input(tensor: Any, raw: bytes) -> InputTensor:
    return InputTensor(name=tensor.name, datatype=tensor.datatype, shape=tuple(tensor.shape), raw=raw)


def _typed_to_raw(name: str, datatype: str, contents: InferTensorContents) -> bytes:
    field, dtype = _TYPED.get(datatype, ("", ""))
    for descriptor, _ in contents.ListFields():
        if descriptor.name != field:
            raise InvalidInput(
                f"input {name[:60]!r}: {descriptor.name} is set, but {datatype[:20]} goes into "
                f"{field or 'raw_input_contents'}"
            )
    if not field:
        return b""
    values = getattr(contents, field)
    return np.array(values, dtype=dtype).tobytes() if dtype else elements.join(values)


def _raw_to_typed(datatype: str, raw: bytes, *, contents: InferTensorContents) -> None:
    field, dtype = _TYPED[datatype]
    if dtype:
        getattr(contents, field).extend(np.frombuffer(raw, dtype=dtype))
    else:
        contents.bytes_contents.extend(elements.split_all(raw))


def _text_parameter(parameters: Any, name: str) -> str:
    if name not in parameters:
        return ""
    value = parameters[name]
    if value.WhichOneof("parameter_choice") != "string_param":
        raise InvalidInput(f"parameter {name} must be a string_param")
    return bounded(f"parameter {name}", value.string_param)


def bounded(what: str, text: str) -> str:
    """A text that a caller may put into a record.

    Raises:
        InvalidInput: Too long.
    """
    if len(text) > _MAX_TEXT:
        raise InvalidInput(f"{what} has {len(text)} characters; at most {_MAX_TEXT}")
    return text


def _timeout_s(parameters: Any) -> float | None:
    microseconds = _whole_parameter(parameters, "timeout", what="a whole number of microseconds, 0 for none")
    return microseconds / 1e6 if microseconds else None


def _priority(parameters: Any) -> int:
    return _whole_parameter(parameters, "priority", what="1, 2 or 3, 0 for the default") or 0


def _whole_parameter(parameters: Any, name: str, *, what: str) -> int | None:
    if name not in parameters:
        return None
    value = parameters[name]
    kind = value.WhichOneof("parameter_choice")
    if kind not in ("int64_param", "uint64_param") or getattr(value, kind) < 0:
        raise InvalidInput(f"parameter {name} must be {what}")
    whole: int = getattr(value, kind)
    return whole
