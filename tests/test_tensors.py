import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slipway.errors import InvalidInput
from slipway.tensors import DTYPES, datatype_of, from_raw, from_tensor, take_row, to_raw, to_tensor

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
