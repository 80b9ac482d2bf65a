from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.gateway.domain.elements import join
from services.gateway.domain.json_tensors import to_raw
from slipway.errors import InvalidInput


def floats(raw: bytes) -> list[float]:
    return [float(value) for value in np.frombuffer(raw, dtype="<f4")]


@pytest.mark.parametrize("data", [[1, 2.5, 3, 4], [[1, 2.5], [3, 4]]])
def test_flat_and_nested_numbers_are_the_same(data: Any) -> None:
    assert floats(to_raw("x", "FP32", shape=[2, 2], data=data)) == [1, 2.5, 3, 4]


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4), elements=st.floats(width=32)))
def test_whatever_numpy_nests_comes_back(array: Any) -> None:
    data: Any = np.where(np.isnan(array), np.array(None), array.astype(object))
    raw = to_raw("x", "FP32", shape=array.shape, data=data.tolist())
    np.testing.assert_array_equal(np.frombuffer(raw, dtype="<f4").reshape(array.shape), array)


def test_null_is_a_missing_number() -> None:
    assert np.isnan(np.frombuffer(to_raw("x", "FP32", shape=[1, 2], data=[None, 1]), dtype="<f4")[0])


def test_what_single_precision_cannot_hold_is_infinite_for_the_contract_to_refuse() -> None:
    assert floats(to_raw("x", "FP32", shape=[2], data=[1e39, -(10**300)])) == [np.inf, -np.inf]


def test_texts_become_elements() -> None:
    for data in (["a", "ä"], [["a"], ["ä"]]):
        assert to_raw("x", "BYTES", shape=[2, 1], data=data) == join([b"a", "ä".encode()])


@pytest.mark.parametrize("shape", [[0], [0, 3]])
def test_no_rows_have_no_bytes(shape: list[int]) -> None:
    assert to_raw("x", "FP32", shape=shape, data=[]) == b""


def test_a_datatype_that_no_model_takes_is_left_to_the_contract() -> None:
    assert to_raw("x", "FP16", shape=[1], data=[1]) == b""


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [[1, 2, 3], [4]]),  # ragged, and four elements all the same
        ([2, 2], [[1, 2], 3]),
        ([2, 2], [[[1], [2]], [[3], [4]]]),
        ([2, 2], [1, 2, 3]),
        ([2, 2], [[1, 2], [3, 4], [5, 6]]),
        ([2, 2], []),
        ([4], [[1, 2], [3, 4]]),
        ([-1, 2], [[1, 2]]),
        ([], [1, 2]),
        ([10**12, 10**12], [1]),
    ],
)
def test_data_of_another_form_than_the_shape_is_refused(shape: list[int], data: Any) -> None:
    with pytest.raises(InvalidInput, match="does not fill shape"):
        to_raw("x", "FP32", shape=shape, data=data)


@pytest.mark.parametrize(
    ("datatype", "data", "why"),
    [
        ("FP32", [True], "must be numbers"),
        ("FP32", ["1"], "must be numbers"),
        ("FP32", [{}], "must be numbers"),
        ("FP32", [[1]], "must be numbers"),
        ("BYTES", [1], "must be strings"),
        ("BYTES", [None], "must be strings"),
        ("FP32", None, "data must be a list"),
        ("FP32", {"0": 1}, "data must be a list"),
    ],
)
def test_elements_of_another_kind_are_refused(datatype: str, data: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        to_raw("x", datatype, shape=[1], data=data)
