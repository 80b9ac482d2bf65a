from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway.client.encoding import ModelInputs
from slipway.errors import InvalidInput
from slipway.score.columns import check_columns, in_file, request_of
from slipway.score.table_file import Chunk
from slipway.signature import TensorSpec

FILE = Path("in.csv")
MATRIX = ModelInputs(model="m", tensors=(TensorSpec("features", "FP32", (-1, 2)),), columns=("a", "b"))
MIXED = ModelInputs(
    model="m",
    tensors=(TensorSpec("a", "FP32", (-1, 1)), TensorSpec("c", "BYTES", (-1, 1))),
    columns=("a", "c"),
)


def chunk(**columns: Any) -> Chunk:
    return Chunk(number=3, first_row=31, frame=pd.DataFrame(columns), table=None)


def matrix(it: Chunk) -> Any:
    return np.frombuffer(request_of(MATRIX, it, FILE).raw_input_contents[0], dtype="<f4").reshape(-1, 2)


def test_text_and_numbers_become_single_precision_in_the_models_order() -> None:
    found = matrix(chunk(b=[1, 2], x=["p", "q"], a=["0.5", " 1e3 "]))
    np.testing.assert_array_equal(found, np.array([[0.5, 1], [1000, 2]], dtype=np.float32))


@pytest.mark.parametrize("missing", ["", " ", "NaN", "null", "NA", None])
def test_a_missing_number_is_nan(missing: Any) -> None:
    assert np.isnan(matrix(chunk(a=["1", missing], b=[1.0, None]))[1]).all()


def test_booleans_are_numbers() -> None:
    np.testing.assert_array_equal(matrix(chunk(a=[True, False], b=[1, 2])), [[1, 1], [0, 2]])


@pytest.mark.parametrize("value", ["many", "1,5", "0x10", "inf", "1e39", "-1e39"])
def test_what_is_no_number_is_named_by_row_and_column(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"in\.csv, row 32, column 'b'"):
        matrix(chunk(a=["1", "2"], b=["1", value]))


def test_categories_are_text() -> None:
    request = request_of(MIXED, chunk(a=[1, 2, 3], c=["x", None, 7]), FILE)
    assert request.raw_input_contents[1] == b"\1\0\0\0x\0\0\0\0\1\0\0\x007"


def test_missing_columns_are_named_and_others_do_not_matter() -> None:
    check_columns(MATRIX, ("x", "b", "a"), FILE)
    with pytest.raises(InvalidInput, match="lacks b, which m needs; it has a, x"):
        check_columns(MATRIX, ("a", "x"), FILE)


def test_what_the_gateway_says_of_a_row_is_said_of_the_files_row() -> None:
    told = in_file("feature 'a' in row 1 is NaN", chunk(a=[1, 2], b=[1, 2]), FILE)
    assert told == "in.csv, rows 31 to 32: feature 'a' in row 32 is NaN"
