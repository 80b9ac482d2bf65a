from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway.client.encoding import ModelInputs, encode_rows
from slipway.errors import InvalidInput
from slipway.score.columns import check_columns, features_of, in_file
from slipway.score.table_file import Block, Chunk
from slipway.signature import TensorSpec

FILE = Path("in.csv")
MATRIX = ModelInputs(model="m", tensors=(TensorSpec("features", "FP32", (-1, 2)),), columns=("a", "b"))
MIXED = ModelInputs(
    model="m",
    tensors=(TensorSpec("a", "FP32", (-1, 1)), TensorSpec("c", "BYTES", (-1, 1))),
    columns=("a", "c"),
)


def block(**columns: Any) -> Block:
    return Block(first_row=31, frame=pd.DataFrame(columns), table=None, chunks=())


def matrix(it: Block) -> Any:
    request = encode_rows(MATRIX, features_of(MATRIX, it, FILE))
    return np.frombuffer(request.raw_input_contents[0], dtype="<f4").reshape(-1, 2)


def test_text_and_numbers_become_single_precision_in_the_models_order() -> None:
    found = matrix(block(b=[1, 2], x=["p", "q"], a=["0.5", " 1e3 "]))
    np.testing.assert_array_equal(found, np.array([[0.5, 1], [1000, 2]], dtype=np.float32))


@pytest.mark.parametrize("missing", ["", " ", "NaN", "null", "NA", None])
def test_a_missing_number_is_nan(missing: Any) -> None:
    assert np.isnan(matrix(block(a=["1", missing], b=[1.0, None]))[1]).all()


def test_booleans_are_numbers() -> None:
    np.testing.assert_array_equal(matrix(block(a=[True, False], b=[1, 2])), [[1, 1], [0, 2]])


@pytest.mark.parametrize("value", ["many", "1,5", "0x10", "inf", "1e39", "-1e39"])
def test_what_is_no_number_is_named_by_row_and_column(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"in\.csv, row 32, column 'b'"):
        matrix(block(a=["1", "2"], b=["1", value]))


def test_categories_are_text() -> None:
    request = encode_rows(MIXED, features_of(MIXED, block(a=[1, 2, 3], c=["x", None, 7]), FILE))
    assert request.raw_input_contents[1] == b"\1\0\0\0x\0\0\0\0\1\0\0\x007"


def test_missing_columns_are_named_and_others_do_not_matter() -> None:
    check_columns(MATRIX, ("x", "b", "a"), FILE)
    with pytest.raises(InvalidInput, match="lacks b, which m needs; it has a, x"):
        check_columns(MATRIX, ("a", "x"), FILE)


def test_what_the_gateway_says_of_a_row_is_said_of_the_files_row() -> None:
    told = in_file("feature 'a' in row 1 is NaN", Chunk(number=3, first_row=31, rows=2), FILE)
    assert told == "in.csv, rows 31 to 32: feature 'a' in row 32 is NaN"
