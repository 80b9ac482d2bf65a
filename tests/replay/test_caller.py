import numpy as np

from slipway.replay.caller import request_builder
from slipway.spec import parse
from slipway.tensors import from_raw

NUMERIC = """
name: m
task: binary
features: [{name: a}, {name: b}]
label: {name: y, classes: ["0", "1"]}
"""
MIXED = NUMERIC.replace("{name: b}", "{name: b, type: categorical, nullable: true}")


def test_numeric_row_becomes_one_tensor() -> None:
    request = request_builder(parse(NUMERIC))([1.5, 2])
    assert [(i.name, list(i.shape)) for i in request.inputs] == [("features", [1, 2])]
    assert from_raw("features", "FP32", [1, 2], request.raw_input_contents[0]).tolist() == [[1.5, 2.0]]


def test_mixed_row_becomes_one_tensor_per_feature() -> None:
    request = request_builder(parse(MIXED))([1.5, "x"])
    assert [i.datatype for i in request.inputs] == ["FP32", "BYTES"]
    assert from_raw("b", "BYTES", [1, 1], request.raw_input_contents[1])[0, 0] == b"x"


def test_missing_text_is_empty() -> None:
    request = request_builder(parse(MIXED))([1.5, float("nan")])
    assert from_raw("b", "BYTES", [1, 1], request.raw_input_contents[1])[0, 0] == b""
    assert np.isfinite(from_raw("a", "FP32", [1, 1], request.raw_input_contents[0])).all()
