"""Rows of a file to what a model takes; what it cannot take is named by row and column."""

import re
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from slipway.client.encoding import ModelInputs
from slipway.errors import InvalidInput
from slipway.score.table_file import Block, Chunk
from slipway.tensors import Array

_MISSING: Final = frozenset({"", "nan", "na", "null", "none"})
_ROW: Final = re.compile(r"\bin row (\d+)")


def check_columns(inputs: ModelInputs, columns: tuple[str, ...], path: Path) -> None:
    """Whether a file has all that the model needs; what it has beyond that is passed through.

    Raises:
        InvalidInput: Names the missing columns.
    """
    missing = [name for name in inputs.columns if name not in columns]
    if missing:
        raise InvalidInput(
            f"{path} lacks {', '.join(missing)}, which {inputs.model} needs; it has {', '.join(columns)}"
        )


def features_of(inputs: ModelInputs, block: Block, path: Path) -> pd.DataFrame:
    """The model's columns of a block, numbers as numbers.

    Raises:
        InvalidInput: Names row and column of a cell that is not a number.
    """
    texts = {tensor.name for tensor in inputs.tensors if tensor.datatype == "BYTES"}
    columns = {
        name: _texts(block.frame[name]) if name in texts else _numbers(block, name, path)
        for name in inputs.columns
    }
    return pd.DataFrame(columns)


def in_file(message: str, chunk: Chunk, path: Path) -> str:
    """What the gateway said of a chunk, with the row as it stands in the file."""
    told = _ROW.sub(lambda found: f"in row {int(found[1]) + chunk.first_row}", message)
    return f"{path}, rows {chunk.first_row} to {chunk.last_row}: {told}"


def _numbers(block: Block, name: str, path: Path) -> Array:
    column = block.frame[name]
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        is_wrong = np.isnan(numbers) & ~column.isna().to_numpy()
    else:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        is_missing = column.isna() | column.astype(str).str.strip().str.lower().isin(_MISSING)
        is_wrong = np.isnan(numbers) & ~is_missing.to_numpy()
    is_wrong |= np.abs(numbers) > np.finfo(np.float32).max
    if is_wrong.any():
        at = int(np.flatnonzero(is_wrong)[0])
        raise InvalidInput(
            f"{path}, row {block.first_row + at}, column {name!r}: {str(column.iloc[at])[:60]!r} "
            "is not a number that fits single precision"
        )
    return numbers.astype(np.float32)


def _texts(column: "pd.Series[str]") -> Array:
    return np.array(["" if value is None or value != value else str(value) for value in column], dtype=object)
