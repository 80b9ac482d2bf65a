import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from services.retraining.dataset_file import dataset_id_of, read_examples
from slipway import spec as model_spec
from slipway.errors import InvalidInput

SPEC = model_spec.parse(
    "name: m\ntask: binary\n"
    "features: [{name: a}, {name: n, nullable: true}, {name: city, type: categorical}]\n"
    'label: {name: y, classes: ["0", "1"]}\nretraining: {keep_rows: 10}\n'
)
GOOD: dict[str, list[Any]] = {"a": [1, 2], "n": [0.5, None], "city": ["bern", "zug"], "y": [0, 1]}


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pd.DataFrame({**GOOD, **columns}).drop(columns=[k for k, v in columns.items() if v is None]).to_parquet(
        out
    )
    return out.getvalue()


def test_rows_keep_their_order_and_carry_the_hash_of_the_file() -> None:
    content = parquet(extra=[7, 8])
    first, second = read_examples(content, SPEC)
    assert first.prediction_id == first.source == f"dataset:{dataset_id_of(content)}"
    assert [first.row, second.row] == [0, 1]
    assert [first.label, second.label] == ["0", "1"]
    assert first.texts == ("bern",)
    numbers = np.frombuffer(second.numbers or b"", dtype="<f4")
    assert numbers[0] == 2
    assert np.isnan(numbers[1])


@pytest.mark.parametrize("labels", [["0", "1"], [0, 1], [0.0, 1.0], [False, True]])
def test_a_class_may_be_written_as_text_number_or_truth_value(labels: list[Any]) -> None:
    assert [e.label for e in read_examples(parquet(y=labels), SPEC)] == ["0", "1"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"a": None}, "columns a of model m are missing"),
        ({"y": [0, 5]}, "column y, row 1: '5' is none of the classes 0, 1"),
        ({"y": [0, None]}, "column y, row 1"),
        ({"a": ["x", "y"]}, "column a is .*string.*, wanted are numbers"),
        ({"a": [1, np.nan]}, "column a, row 1: nan is no number; set `nullable: true`"),
        ({"n": [np.inf, 1]}, "column n, row 0: inf"),
        ({"city": ["bern", None]}, "column city, row 1 is empty"),
        ({"city": [[1], [2]]}, "column city is .*list"),
    ],
)
def test_data_that_is_not_of_this_model_is_named(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read_examples(parquet(**columns), SPEC)


def test_size_and_format_are_checked_first() -> None:
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        read_examples(b"PAR1 and nothing", SPEC)
    many = {name: values * 6 for name, values in GOOD.items()}
    with pytest.raises(InvalidInput, match=r"12 rows; wanted are 1\.\.10"):
        read_examples(_table(many), SPEC)


def _table(columns: dict[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    pd.DataFrame(columns).to_parquet(out)
    return out.getvalue()
