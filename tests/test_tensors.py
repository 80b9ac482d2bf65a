import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slipway.errors import InvalidInput
from slipway.tensors import DTYPES, datatype_of, from_raw, from_tensor, take_row, to_list, to_raw, to_tensor
from slipway.v1.tensors_pb2 import Tensor

NUMERIC = [d for name, d in DTYPES.items() if name != "BYTES"]


@given(st.sampled_from(NUMERIC).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(max_dims=3, max_side=4))))
def test_numbers_survive_the_wire(array: np.ndarray) -> None:
    back = from_raw("x", datatype_of(array), array.shape, to_raw(array))
    np.testing.assert_array_equal(back, array)


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_bytes_survive_the_wire(elements: list[bytes]) -> None:
    array = np.array(elements, dtype=object)
    assert from_tensor(to_tensor("x", array)).tolist() == elements


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "message"),
    [
        ("FP31", [1], b"", "is not one of"),
        ("FP32", [-1], b"", "negative dimension"),
        ("FP32", [2, 2], b"1234", "needs 16"),
        ("FP32", [2**40, 2**40], b"", "needs"),
        ("BYTES", [1], b"\x05\0\0\0ab", "length-prefixed"),
        ("BYTES", [1], b"\x01\0\0\0ab", "length-prefixed"),
        ("BYTES", [2**60], b"\x01\0\0\0a", "length-prefixed"),
    ],
)
def test_names_the_tensor_that_does_not_fit(
    datatype: str, shape: list[int], raw: bytes, message: str
) -> None:
    with pytest.raises(InvalidInput, match=f"'x'.*{message}"):
        from_raw("x", datatype, shape, raw)


def test_a_row_keeps_its_dimensions() -> None:
    row = take_row(to_tensor("x", np.arange(6, dtype=np.float32).reshape(3, 2)), 1)
    assert from_tensor(row).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.5, np.inf], [-1.0, 2.0]], dtype=np.float32),
        np.array([1.0], dtype=np.float64),
        np.array([1, -2], dtype=np.int64),
        np.array([1, -2], dtype=np.int32),
        np.array([0.5], dtype=np.float16),
        np.array([True, False]),
        np.array([b"a", b"bc"], dtype=object),
        np.zeros((0, 3), dtype=np.float32),
    ],
    ids=lambda a: str(a.dtype),
)
def test_a_list_has_the_elements_of_the_array(array: np.ndarray) -> None:
    tensor = to_tensor("x", array)
    assert to_list(tensor) == from_tensor(tensor).ravel().tolist()


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", [2], b"1234"),
        ("FP32", [-1], b""),
        ("FP99", [1], b"1"),
        ("BYTES", [-1], b""),
        ("BYTES", [2], b""),
    ],
)
def test_a_list_of_what_is_no_tensor_is_refused(datatype: str, shape: list[int], raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        to_list(Tensor(name="x", datatype=datatype, shape=shape, raw=raw))
