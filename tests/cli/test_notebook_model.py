"""A model that somebody brings as a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression, LogisticRegression

from slipway import spec as model_spec
from slipway.cli.notebook_model import MAX_ROWS, NotebookModel, examine, read_sample
from slipway.errors import InvalidInput

ABOUT = {"onnx_file": "model.onnx", "sample_file": "sample.parquet", "note": "a note"}
BINARY = """
name: m
task: binary
features: [{name: a}, {name: b, nullable: true}]
label: {name: y, classes: ["0", "1"]}
"""
REGRESSION = BINARY.replace("binary", "regression").replace(', classes: ["0", "1"]', "")


def _frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(rows, 2)).astype(np.float32), columns=["a", "b"])
    return frame.assign(y=(frame["a"] + frame["b"] > 0).astype(int))


def _onnx(kind: Any, frame: pd.DataFrame) -> bytes:
    X = frame[["a", "b"]].to_numpy()  # noqa: N806
    model = kind().fit(X, frame["y"])
    options = {"zipmap": False} if kind is LogisticRegression else None
    return bytes(to_onnx(model, X[:1], options=options).SerializeToString())


def _examine(
    sample: pd.DataFrame, *, yaml: str = BINARY, kind: Any = LogisticRegression, target: str = ""
) -> NotebookModel:
    spec = model_spec.parse(yaml)
    return examine(spec, _onnx(kind, _frame()), sample=sample, target=target, about=ABOUT)


def test_profile_scores_and_card_come_from_the_sample() -> None:
    frame = _frame()
    found = _examine(frame)
    profile = found.artifacts.profile
    assert [f.feature for f in profile.features] == ["a", "b"]
    assert sum(profile.features[0].counts) == profile.rows == 200
    assert list(profile.classes) == ["0", "1"]
    assert sum(profile.predicted_counts) == 200
    assert found.metrics["sample_accuracy"] > 0.95
    manifest = found.artifacts.documents["manifest.json"]
    assert manifest["sample"]["rows"] == 200
    assert manifest["note"] == "a note"
    assert "No gate has judged this version" in found.artifacts.model_card
    assert "200 sample rows, sample_accuracy" in found.summary


def test_a_sample_without_truth_is_profiled_all_the_same() -> None:
    found = _examine(_frame().drop(columns="y"))
    assert found.metrics == {}
    assert "no truth" in found.summary
    assert _examine(_frame().assign(y=np.nan)).metrics == {}


def test_truth_may_stand_in_another_column_and_be_written_as_a_number() -> None:
    frame = _frame().rename(columns={"y": "truth"})
    assert _examine(frame.assign(truth=frame["truth"].astype(float)), target="truth").metrics
    with pytest.raises(InvalidInput, match="no column 'nothing'"):
        _examine(frame, target="nothing")


def test_truth_may_be_a_boolean() -> None:
    frame = _frame()
    named = BINARY.replace('["0", "1"]', '["false", "true"]')
    with pytest.raises(InvalidInput, match="integer labels"):
        _examine(frame.assign(y=frame["y"].astype(bool)), yaml=named)


def test_a_regressor_is_scored_by_its_error() -> None:
    found = _examine(_frame(), yaml=REGRESSION, kind=LinearRegression)
    assert set(found.metrics) == {"sample_mae", "sample_rmse"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": None}, "no column 'a'; it has b, y"),
        ({"a": "text"}, "column 'a' is not numeric"),
        ({"a": np.nan}, "'a': 200 values are missing, but the feature is not `nullable`"),
        ({"y": 7}, "column 'y' has '7'; the spec's classes are 0, 1"),
    ],
)
def test_a_sample_that_does_not_fit_names_the_column(change: dict[str, Any], message: str) -> None:
    frame = _frame()
    for name, value in change.items():
        frame = frame.drop(columns=name) if value is None else frame.assign(**{name: value})
    with pytest.raises(InvalidInput, match=message):
        _examine(frame)


def test_a_model_of_another_width_is_refused() -> None:
    wide = BINARY.replace("{name: a}", "{name: a}, {name: c}")
    with pytest.raises(InvalidInput, match=r"must take one tensor\(float\) \[n, 3\]"):
        _examine(_frame().assign(c=0.0), yaml=wide)


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.parquet"])
def test_samples_are_parquet_or_csv(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frame = _frame(10)
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    assert list(read_sample(path).columns) == ["a", "b", "y"]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.parquet").write_bytes(b"not parquet")
    (tmp_path / "s.csv").write_text("a,b\n")
    for path, message in (("s.parquet", "cannot read"), ("none.csv", "cannot read"), ("s.csv", "no rows")):
        with pytest.raises(InvalidInput, match=message):
            read_sample(tmp_path / path)


def test_a_huge_sample_is_thinned(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pd.DataFrame({"a": np.arange(MAX_ROWS + 10)}).to_parquet(path)
    assert len(read_sample(path)) == MAX_ROWS
