from typing import Any

import numpy as np
import pytest

from services.gateway import wire
from services.gateway.domain.elements import join
from services.gateway.wire import Answer
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from slipway.signature import TensorSpec

OUTPUTS = (TensorSpec("label", "BYTES", (-1,)), TensorSpec("value", "FP32", (-1,)))


def request(contents: InferTensorContents | None = None, datatype: str = "FP32", **fields: Any) -> bytes:
    tensor = ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=[1, 2], contents=contents)
    return ModelInferRequest(model_name="m", inputs=[tensor], **fields).SerializeToString()


def test_raw_and_typed_requests_read_alike() -> None:
    numbers = np.array([1.5, -2], dtype="<f4")
    raw = wire.read_call(request(raw_input_contents=[numbers.tobytes()]))
    typed = wire.read_call(request(InferTensorContents(fp32_contents=numbers.tolist())))
    assert raw.tensors == typed.tensors
    assert (raw.is_raw, typed.is_raw) == (True, False)


def test_typed_texts_become_elements() -> None:
    call = wire.read_call(request(InferTensorContents(bytes_contents=[b"a", b""]), "BYTES"))
    assert call.tensors[0].raw == join([b"a", b""])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xff", "not an inference.ModelInferRequest"),
        (request(raw_input_contents=[b"", b""]), "1 inputs, but 2 raw_input_contents"),
        (
            request(InferTensorContents(fp32_contents=[1]), raw_input_contents=[b"\0" * 8]),
            "input 'x' has contents, and the request has raw_input_contents",
        ),
        (
            request(InferTensorContents(fp64_contents=[1])),
            "fp64_contents is set, but FP32 goes into fp32_con",
        ),
        (request(InferTensorContents(fp64_contents=[1]), "FP16"), "FP16 goes into raw_input_contents"),
        (
            request(parameters={"slipway_unit": InferParameter(int64_param=1)}),
            "slipway_unit must be a string",
        ),
        (request(parameters={"slipway_key": InferParameter(string_param="k" * 1025)}), "1025 characters"),
        (request(parameters={"timeout": InferParameter(int64_param=-1)}), "whole number of microseconds"),
        (request(parameters={"timeout": InferParameter(string_param="1")}), "whole number of microseconds"),
        (request(id="i" * 1025), "id has 1025 characters"),
    ],
)
def test_names_what_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        wire.read_call(data)


@pytest.mark.parametrize(
    ("parameter", "seconds"),
    [
        (InferParameter(int64_param=1_500_000), 1.5),
        (InferParameter(uint64_param=1000), 0.001),
        (InferParameter(int64_param=0), None),
    ],
)
def test_timeout_is_in_microseconds_and_zero_means_none(parameter: Any, seconds: float | None) -> None:
    assert wire.read_call(request(parameters={"timeout": parameter})).timeout_s == seconds


def answer(*, is_raw: bool, wanted: tuple[str, ...]) -> ModelInferResponse:
    values = np.array([1, 2], dtype="<f4").tobytes()
    columns = {
        spec.name: (spec, raw) for spec, raw in zip(OUTPUTS, (join([b"u", b"v"]), values), strict=True)
    }
    about = Answer(
        model="m",
        version="3",
        request_id="r",
        parameters={"a": "b", "n": 7},
        rows=2,
        is_raw=is_raw,
        outputs=[columns[name] for name in wanted],
    )
    return ModelInferResponse.FromString(wire.write_answer(about))


def test_answers_raw_to_raw_and_typed_to_typed() -> None:
    raw = answer(is_raw=True, wanted=("label", "value"))
    typed = answer(is_raw=False, wanted=("label", "value"))
    assert raw.raw_output_contents[0] == join([b"u", b"v"])
    assert not typed.raw_output_contents
    assert list(typed.outputs[0].contents.bytes_contents) == [b"u", b"v"]
    assert list(typed.outputs[1].contents.fp32_contents) == [1, 2]
    both = [wire.read_answer(message.SerializeToString()) for message in (raw, typed)]
    assert both[0] == both[1]


def test_answers_only_what_was_asked_for_and_echoes_the_id() -> None:
    message = answer(is_raw=True, wanted=("value",))
    assert [(o.name, o.datatype, list(o.shape)) for o in message.outputs] == [("value", "FP32", [2])]
    assert (message.model_version, message.id) == ("3", "r")
    assert message.parameters["a"].string_param == "b"
    assert message.parameters["n"].int64_param == 7


def test_an_upstream_answer_that_contradicts_itself_is_refused() -> None:
    broken = ModelInferResponse(raw_output_contents=[b""])
    with pytest.raises(InvalidInput, match="0 outputs, but 1 raw_output_contents"):
        wire.read_answer(broken.SerializeToString())
    with pytest.raises(InvalidInput, match=r"not an inference\.ModelInferResponse"):
        wire.read_answer(b"\xff\xff")


def test_what_goes_upstream_is_a_raw_request() -> None:
    spec = TensorSpec("x", "FP32", (-1, 2))
    data = wire.write_call("m", "3", inputs=(spec,), columns=(b"\0" * 16,), rows=2)
    call = wire.read_call(data)
    assert (call.model, call.version, call.tensors[0].shape) == ("m", "3", (2, 2))
