"""The labelled stream that is replayed: a table in time order, and the spec that describes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from slipway.errors import InvalidInput
from slipway.spec import Spec, parse

_MAX_CLASSES: Final = 50
_MAX_CATEGORIES: Final = 200
_READERS: Final[dict[str, Callable[[Path], pd.DataFrame]]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".csv.gz": pd.read_csv,
}

_RECIPE: Final = '''"""Inferred: a boosted tree on numeric columns, categories one-hot encoded."""

from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def fit(X, y, sample_weight, seed):
    """Fit one estimator on rows in time order."""
    texts = [c for c in X.columns if X[c].dtype.kind not in "fiub"]
    model = HistGradientBoostingClassifier(max_iter=100, random_state=seed)
    if not texts:
        return model.fit(X, y, sample_weight=sample_weight)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts), remainder="passthrough"
    )
    pipeline = make_pipeline(encode, model)
    return pipeline.fit(X, y, histgradientboostingclassifier__sample_weight=sample_weight)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Features and labels in time order, with the spec they obey."""

    spec: Spec
    yaml: str
    recipe: str
    features: pd.DataFrame
    labels: list[str]
    name: str

    def __len__(self) -> int:
        return len(self.labels)


def read_table(path: Path) -> pd.DataFrame:
    """Load a CSV, gzipped CSV or Parquet file.

    Raises:
        InvalidInput: The file is missing, of another kind, unreadable or empty.
    """
    kind = next((k for k in _READERS if path.name.endswith(k)), None)
    if kind is None:
        raise InvalidInput(f"{path}: expected a file that ends in {', '.join(_READERS)}")
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    try:
        table = _READERS[kind](path)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from error
    if table.empty:
        raise InvalidInput(f"{path}: has no rows")
    return table


def load(path: Path, *, target: str, spec_path: Path | None, name: str | None, limit: int | None) -> Stream:
    """Read a stream and its spec; without a spec file one is inferred from the columns."""
    table = read_table(path)
    if limit is not None:
        table = table.iloc[:limit]
    if target not in table.columns:
        raise InvalidInput(f"{path}: no column {target!r}; it has {', '.join(map(str, table.columns))}")
    if table[target].isna().any():
        raise InvalidInput(f"{path}: {target} is missing in {int(table[target].isna().sum())} rows")
    yaml, recipe = (
        _read_spec(spec_path) if spec_path else (infer_spec(table, target=target, path=path), _RECIPE)
    )
    if name:
        yaml = rename(yaml, name)
    spec = parse(yaml)
    missing = [c for c in spec.feature_names if c not in table.columns]
    if missing:
        raise InvalidInput(f"{path}: the spec's features {', '.join(missing)} are not columns of the file")
    labels = [_label_text(v) for v in table[target]]
    unknown = sorted(set(labels) - set(spec.label.classes))
    if unknown:
        raise InvalidInput(f"{path}: labels {', '.join(unknown[:5])} are not classes of the spec")
    columns = table[list(spec.feature_names)].reset_index(drop=True)
    return Stream(spec=spec, yaml=yaml, recipe=recipe, features=columns, labels=labels, name=path.name)


def rename(yaml: str, name: str) -> str:
    """The spec under another model name."""
    lines = yaml.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("name:")), None)
    if at is None:
        raise InvalidInput("model spec has no line that starts with `name:`")
    lines[at] = f"name: {name}"
    return "\n".join(lines) + "\n"


def _read_spec(path: Path) -> tuple[str, str]:
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    yaml = path.read_text()
    recipe = parse(yaml).recipe
    if recipe is None:
        raise InvalidInput(f"{path}: a replay trains models, so the spec needs `recipe:`")
    source = path.parent / recipe
    if not source.is_file():
        raise InvalidInput(f"{path}: recipe {source} does not exist")
    return yaml, source.read_text()


def infer_spec(table: pd.DataFrame, *, target: str, path: Path) -> str:
    """Write a spec for a table: numeric and categorical features, a binary or multiclass label."""
    classes = sorted({_label_text(v) for v in table[target]}, key=lambda c: (len(c), c))
    if not 2 <= len(classes) <= _MAX_CLASSES:
        raise InvalidInput(
            f"{path}: {target} has {len(classes)} values, a label needs 2 to {_MAX_CLASSES}; "
            "for anything else write a spec"
        )
    features = [_infer_feature(table[c], path) for c in table.columns if c != target]
    quoted = ", ".join(f'"{c}"' for c in classes)
    stem = "".join(c if c.isalnum() else "-" for c in path.name.split(".")[0].lower()).strip("-")
    return "\n".join(
        [
            f"name: {stem if stem[:1].isalpha() else 'm-' + stem}",
            f"task: {'binary' if len(classes) == 2 else 'multiclass'}",
            "description: inferred from a file",
            "features:",
            *features,
            "label:",
            f'  name: "{target}"',
            f"  classes: [{quoted}]",
            "recipe: recipe.py",
            "",
        ]
    )


def _infer_feature(column: "pd.Series[Any]", path: Path) -> str:
    nullable = "true" if column.isna().any() else "false"
    if pd.api.types.is_numeric_dtype(column):
        return f'  - {{name: "{column.name}", nullable: {nullable}}}'
    if column.nunique() > _MAX_CATEGORIES:
        raise InvalidInput(
            f"{path}: column {column.name!r} has {column.nunique()} different texts, "
            f"more than {_MAX_CATEGORIES}; drop it or write a spec"
        )
    return f'  - {{name: "{column.name}", type: categorical, nullable: {nullable}}}'


def _label_text(value: Any) -> str:
    """Class labels are texts: 1 and 1.0 and True are the class "1"."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)
