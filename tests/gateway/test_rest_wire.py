from typing import Any

import numpy as np
import orjson
import pytest

from services.gateway import rest_wire
from services.gateway.domain.elements import join
from services.gateway.rest_wire import Form
from services.gateway.wire import Answer, InferCall
from slipway.errors import InvalidInput
from slipway.signature import TensorSpec

NUMBERS = np.array([[1.5, -2]], dtype="<f4")
RAW = NUMBERS.tobytes()
JSON_INPUT = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2]}
BINARY_INPUT = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}


def read(body: bytes, header_length: bytes | None = None) -> tuple[InferCall, Form]:
    return rest_wire.read_call(body, header_length, model="m", version="3")


def read_json(**fields: Any) -> tuple[InferCall, Form]:
    return read(orjson.dumps({"inputs": [JSON_INPUT], **fields}))


def read_binary(
    tail: bytes, *inputs: Any, length: int | None = None, **fields: Any
) -> tuple[InferCall, Form]:
    head = orjson.dumps({"inputs": inputs or [BINARY_INPUT], **fields})
    return read(head + tail, b"%d" % (len(head) if length is None else length))


def test_json_and_binary_requests_read_alike() -> None:
    plain, _ = read_json()
    binary, _ = read_binary(RAW)
    assert plain.tensors == binary.tensors
    assert binary.tensors[0].raw == RAW
    assert (plain.model, plain.version, plain.protocol) == ("m", "3", "rest")


def test_tensors_behind_the_json_follow_each_other_between_those_in_it() -> None:
    second = {**BINARY_INPUT, "name": "y", "datatype": "BYTES", "shape": [1, 1]}
    second["parameters"] = {"binary_data_size": 5}
    text = join([b"a"])
    call, _ = read_binary(RAW + text, BINARY_INPUT, {**JSON_INPUT, "name": "z"}, second)
    assert [(t.name, t.raw) for t in call.tensors] == [("x", RAW), ("z", RAW), ("y", text)]


def test_parameters_are_those_of_grpc() -> None:
    call, _ = read_json(
        id="r-1",
        parameters={
            "slipway_unit": "u",
            "slipway_key": "k",
            "timeout": 1_500_000,
            "priority": 1,
            "foreign": [1],
        },
        outputs=[{"name": "b"}, {"name": "a"}],
    )
    assert (call.request_id, call.unit, call.business_key, call.timeout_s) == ("r-1", "u", "k", 1.5)
    assert (call.outputs, call.priority) == (("b", "a"), 1)
    assert read_json(parameters={"timeout": 0})[0].timeout_s is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"inputs": [NaN]}', "not JSON"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [Infinity]}]}', "not JSON"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1e999]}]}', "not JSON"),
        (b'{"inputs": ' + b"[" * 2000, "not JSON"),
        (b"\xff\xff", "not JSON"),
    ],
)
def test_what_is_not_a_json_object_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read(data)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"inputs": {}}, "inputs must be a list"),
        ({"inputs": [1]}, "an input must be an object with a name"),
        ({"inputs": [{"name": 1}]}, "an input must be an object with a name"),
        ({"inputs": [{**JSON_INPUT, "shape": [1.5]}]}, "shape of whole numbers"),
        ({"inputs": [{**JSON_INPUT, "shape": [True, 2]}]}, "shape of whole numbers"),
        ({"inputs": [{**JSON_INPUT, "shape": None}]}, "shape of whole numbers"),
        ({"inputs": [{**JSON_INPUT, "datatype": 1}]}, "needs a datatype"),
        ({"inputs": [{**JSON_INPUT, "parameters": []}]}, "parameters of an input must be an object"),
        ({"inputs": [BINARY_INPUT]}, "send the header inference-header-content-length"),
        ({"parameters": 1}, "parameters of the request must be an object"),
        ({"parameters": {"slipway_unit": 1}}, "slipway_unit must be a string"),
        ({"parameters": {"slipway_key": "k" * 1025}}, "1025 characters"),
        ({"parameters": {"timeout": -1}}, "whole number of microseconds"),
        ({"parameters": {"timeout": 1.5}}, "whole number of microseconds"),
        ({"parameters": {"timeout": True}}, "whole number of microseconds"),
        ({"parameters": {"priority": "high"}}, "priority must be 1, 2 or 3"),
        ({"parameters": {"binary_data_output": 1}}, "binary_data_output must be true or false"),
        ({"id": 7}, "id must be a string"),
        ({"id": "i" * 1025}, "id has 1025 characters"),
        ({"outputs": "x"}, "outputs must be a list"),
        ({"outputs": [{}]}, "an output must be an object with a name"),
        ({"outputs": [{"name": "o", "parameters": {"binary_data": "yes"}}]}, "binary_data must be true or"),
        (
            {"outputs": [{"name": "o", "parameters": {"classification": 3}}]},
            "classification is not supported",
        ),
    ],
)
def test_names_what_is_wrong(fields: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_json(**fields)


@pytest.mark.parametrize("length", [b"-1", b"x", b"", b"99999", b"9" * 40, b"1.5", b"\xff"])
def test_a_lying_header_length_is_refused(length: bytes) -> None:
    with pytest.raises(InvalidInput, match="must be the length of the JSON"):
        read(orjson.dumps({"inputs": [BINARY_INPUT]}) + RAW, length)


@pytest.mark.parametrize("length", [0, 10])
def test_a_header_length_that_cuts_the_json_is_refused(length: int) -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        read_binary(RAW, length=length)


@pytest.mark.parametrize("size", [-1, 9, 2**62, 1.5, "8", True])
def test_a_lying_tensor_size_is_refused(size: Any) -> None:
    with pytest.raises(InvalidInput, match="'x': binary_data_size"):
        read_binary(RAW, {**BINARY_INPUT, "parameters": {"binary_data_size": size}})


def test_bytes_that_nobody_claims_are_refused() -> None:
    with pytest.raises(InvalidInput, match="1 bytes follow the JSON"):
        read_binary(RAW + b"!")
    with pytest.raises(InvalidInput, match="8 bytes follow the JSON"):
        read_binary(RAW, JSON_INPUT)


def test_data_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="data and a binary_data_size"):
        read_binary(RAW, {**BINARY_INPUT, "data": [1, 2]})


def answer(*outputs: tuple[TensorSpec, bytes], request_id: str = "r") -> Answer:
    return Answer(
        model="m",
        version="3",
        request_id=request_id,
        parameters={"a": "b", "n": 7},
        rows=2,
        is_raw=False,
        outputs=outputs,
    )


LABEL = (TensorSpec("label", "BYTES", (-1,)), join([b"u", "ü".encode()]))
VALUE = (TensorSpec("p", "FP32", (-1, 2)), np.array([[0.1, np.nan], [1, 2]], dtype="<f4").tobytes())
ALL_JSON = Form(is_binary=False, by_output={})


def written(it: Answer, form: Form) -> tuple[dict[bytes, bytes], Any, bytes]:
    headers, body = rest_wire.write_answer(it, form)
    found = dict(headers)
    assert int(found[b"content-length"]) == len(body)
    end = int(found.get(rest_wire.HEADER_LENGTH, len(body)))
    return found, orjson.loads(body[:end]), body[end:]


def test_answers_in_json() -> None:
    headers, message, tail = written(answer(LABEL, VALUE), ALL_JSON)
    assert headers[b"content-type"] == b"application/json"
    assert message == {
        "model_name": "m",
        "model_version": "3",
        "id": "r",
        "parameters": {"a": "b", "n": 7},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["u", "ü"]},
            {"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [0.1, None, 1, 2]},
        ],
    }
    assert tail == b""
    assert "id" not in written(answer(LABEL, request_id=""), ALL_JSON)[1]


def test_answers_in_bytes_what_is_asked_for_in_bytes() -> None:
    _, form = read_json(parameters={"binary_data_output": True})
    headers, message, tail = written(answer(LABEL, VALUE), form)
    assert headers[b"content-type"] == b"application/octet-stream"
    assert [o["parameters"]["binary_data_size"] for o in message["outputs"]] == [len(LABEL[1]), len(VALUE[1])]
    assert tail == LABEL[1] + VALUE[1]
    outputs = [{"name": "p", "parameters": {"binary_data": True}}, {"name": "label"}]
    _, form = read_json(outputs=outputs)
    _, message, tail = written(answer(VALUE, LABEL), form)
    assert (tail, message["outputs"][1]["data"]) == (VALUE[1], ["u", "ü"])


def test_what_is_said_of_one_output_goes_before_what_is_said_of_all() -> None:
    outputs = [{"name": "label", "parameters": {"binary_data": False}}]
    _, form = read_json(outputs=outputs, parameters={"binary_data_output": True})
    assert written(answer(LABEL), form)[1]["outputs"][0]["data"] == ["u", "ü"]


def test_bytes_that_are_no_text_can_only_be_had_as_bytes() -> None:
    odd = (LABEL[0], join([b"\xff", b""]))
    with pytest.raises(InvalidInput, match="ask for it with binary_data"):
        rest_wire.write_answer(answer(odd), ALL_JSON)
    assert written(answer(odd), Form(is_binary=True, by_output={}))[2] == odd[1]
