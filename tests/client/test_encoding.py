import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway import tensors
from slipway.client.encoding import ModelInputs, encode_row, encode_rows
from slipway.client.prediction import decode_answer
from slipway.errors import InvalidInput
from slipway.oip.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from slipway.signature import TensorSpec

MATRIX = ModelInputs(model="m", tensors=(TensorSpec("features", "FP32", (-1, 2)),), columns=("a", "b"))
MIXED = ModelInputs(
    model="m",
    tensors=(TensorSpec("city", "BYTES", (-1, 1)), TensorSpec("age", "FP32", (-1, 1))),
    columns=("city", "age"),
)


def arrays(request: ModelInferRequest) -> dict[str, Any]:
    return {
        tensor.name: tensors.from_raw(tensor.name, tensor.datatype, tensor.shape, raw)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"b": [2, 4], "a": [1.0, 3.0]}),
        [{"b": 2, "a": 1}, {"a": 3, "b": "4"}],
        np.array([[1, 2], [3, 4]]),
        [[1, 2], (3.0, 4.0)],
    ],
)
def test_every_form_of_rows_becomes_the_same_matrix(rows: Any) -> None:
    request = encode_rows(MATRIX, rows)
    np.testing.assert_array_equal(arrays(request)["features"], np.array([[1, 2], [3, 4]], dtype=np.float32))
    assert request.inputs[0].datatype == "FP32"


@pytest.mark.parametrize("row", [{"b": 2, "a": None}, np.array([math.nan, 2.0]), [None, 2.0]])
def test_one_row_and_a_missing_value(row: Any) -> None:
    np.testing.assert_array_equal(arrays(encode_rows(MATRIX, row))["features"], [[math.nan, 2.0]])


def test_columns_of_different_types_travel_apart() -> None:
    frame = pd.DataFrame({"age": [30, 41], "city": ["Bern", None]})
    got = arrays(encode_rows(MIXED, frame))
    assert got["city"].tolist() == [[b"Bern"], [b""]]
    assert got["age"].tolist() == [[30.0], [41.0]]
    assert arrays(encode_row(MIXED, ["Bern", 30]))["city"].tolist() == [[b"Bern"]]


def test_without_names_from_the_server_the_given_order_counts() -> None:
    unnamed = ModelInputs(model="m", tensors=MATRIX.tensors, columns=())
    got = arrays(encode_rows(unnamed, [{"x": 1, "y": 2}, {"y": 4, "x": 3}]))
    assert got["features"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("inputs", "rows", "words"),
    [
        (MATRIX, {"a": 1}, r"missing columns \['b'\]"),
        (MATRIX, {"a": 1, "b": 2, "c": 3}, r"unknown ones \['c'\]"),
        (MATRIX, [{"a": 1, "b": 2}, {"a": 1}], "every row needs"),
        (MATRIX, {"a": 1, "b": "two"}, "column b is not numeric"),
        (MATRIX, [[1, 2, 3]], "got 3 columns"),
        (MATRIX, [], "at least one row"),
        (MATRIX, pd.DataFrame({"a": [], "b": []}), "at least one row"),
        (MIXED, {"city": "Bern", "age": "old"}, "column age is not numeric"),
    ],
)
def test_wrong_rows_are_named_before_anything_is_sent(inputs: ModelInputs, rows: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        encode_rows(inputs, rows)


def test_the_fast_path_says_the_same_as_the_long_one() -> None:
    assert encode_row(MATRIX, [1.5, 2.5]) == encode_rows(MATRIX, [[1.5, 2.5]])


@pytest.mark.parametrize("values", [[1.0], [1.0, "two"], [1.0, None]])
def test_the_fast_path_refuses_what_is_not_its_row(values: Any) -> None:
    with pytest.raises(InvalidInput):
        encode_row(MATRIX, values)


def test_an_answer_of_a_classifier() -> None:
    response = ModelInferResponse(model_name="m", model_version="3")
    response.parameters["slipway_prediction_id"].string_param = "p"
    response.parameters["slipway_feedback_token"].string_param = "t"
    response.parameters["slipway_arm"].string_param = "canary"
    response.parameters["slipway_route_epoch"].int64_param = 7
    for name, array in {
        "label": np.array([b"0", b"1"], dtype=object),
        "probabilities": np.array([[0.75, 0.25], [0.5, 0.5]], dtype=np.float32),
    }.items():
        response.outputs.add(name=name, datatype=tensors.datatype_of(array), shape=array.shape)
        response.raw_output_contents.append(tensors.to_raw(array))
    prediction = decode_answer(response)
    assert (prediction.model, prediction.version, prediction.arm) == ("m", "3", "canary")
    assert (prediction.prediction_id, prediction.feedback_token) == ("p", "t")
    assert (prediction.label, prediction.labels, prediction.values) == ("0", ("0", "1"), ())
    assert prediction.probabilities is not None
    assert prediction.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_an_answer_of_a_regression() -> None:
    response = ModelInferResponse(raw_output_contents=[np.float32(2.5).tobytes()])
    response.outputs.add(name="value", datatype="FP32", shape=[1])
    prediction = decode_answer(response)
    assert (prediction.value, prediction.labels, prediction.probabilities) == (2.5, (), None)
