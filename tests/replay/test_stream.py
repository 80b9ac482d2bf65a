from pathlib import Path

import pandas as pd
import pytest

from slipway.errors import InvalidInput
from slipway.replay.stream import load
from slipway.spec import parse


def write(path: Path, table: pd.DataFrame) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return path


TABLE = pd.DataFrame(
    {"age": [1.5, None, 3.0], "city": ["Bern", "Genf", None], "2nd": [1, 2, 3], "left": [True, False, True]}
)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_infers_a_valid_spec_from_each_kind_of_file(tmp_path: Path, name: str) -> None:
    stream = load(write(tmp_path / name, TABLE), target="left", spec_path=None, name=None, limit=None)
    assert [f.type for f in stream.spec.features] == ["numeric", "categorical", "numeric"]
    assert [f.nullable for f in stream.spec.features] == [True, True, False]
    assert stream.spec.task == "binary"
    assert stream.spec.label.classes == ("0", "1") or stream.spec.label.classes == ("True", "False")
    assert set(stream.labels) <= set(stream.spec.label.classes)


def test_limit_takes_the_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE)
    assert len(load(path, target="left", spec_path=None, name=None, limit=2)) == 2


def test_another_name_renames_the_model(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE)
    stream = load(path, target="left", spec_path=None, name="other", limit=None)
    assert stream.spec.name == "other"
    assert parse(stream.yaml).name == "other"


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("missing.csv", "left", "no such file"),
        ("a.xlsx", "left", "expected a file that ends in"),
        ("a.csv", "nothing", "no column 'nothing'; it has age"),
    ],
)
def test_names_what_is_wrong_with_the_file(tmp_path: Path, name: str, target: str, message: str) -> None:
    write(tmp_path / "a.csv", TABLE)
    with pytest.raises(InvalidInput, match=message):
        load(tmp_path / name, target=target, spec_path=None, name=None, limit=None)


def test_refuses_a_missing_label(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE.assign(left=[1.0, float("nan"), 0.0]))
    with pytest.raises(InvalidInput, match="left is missing in 1 rows"):
        load(path, target="left", spec_path=None, name=None, limit=None)


def test_refuses_a_constant_label(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE.assign(left=1))
    with pytest.raises(InvalidInput, match="left has 1 values"):
        load(path, target="left", spec_path=None, name=None, limit=None)


def test_whole_numbers_and_floats_are_the_same_class(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE.assign(left=[1.0, 0.0, 1.0]))
    assert load(path, target="left", spec_path=None, name=None, limit=None).labels == ["1", "0", "1"]
