"""Tables in files, read in blocks so that a file of any size fits: CSV, CSV.gz, Parquet."""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from slipway.errors import InvalidInput

_CSV: Final = (".csv", ".csv.gz")
_PARQUET: Final = ".parquet"
_BLOCK_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The rows of one job, in order."""

    number: int
    first_row: int  # 1 for the first row of data
    rows: int

    @property
    def last_row(self) -> int:
        """The number of its last row."""
        return self.first_row + self.rows - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The rows of many chunks, read and written together."""

    first_row: int
    frame: pd.DataFrame
    table: Any  # the same rows as Arrow has them, types and all; None of a CSV file
    chunks: tuple[Chunk, ...]

    def part(self, frame: pd.DataFrame, chunk: Chunk) -> pd.DataFrame:
        """The rows of a chunk in a frame that has the rows of this block."""
        start = chunk.first_row - self.first_row
        return frame.iloc[start : start + chunk.rows]


class Sink(Protocol):
    """Takes blocks with further columns."""

    def write(self, block: Block, added: pd.DataFrame) -> None:
        """Append the rows of a block."""
        ...


def is_csv(path: Path) -> bool:
    """Whether a file is CSV by its name, else Parquet.

    Raises:
        InvalidInput: It is neither.
    """
    if path.name.endswith(_CSV):
        return True
    if path.suffix == _PARQUET:
        return False
    raise InvalidInput(f"{path} is none of .csv, .csv.gz, .parquet")


def columns_of(path: Path) -> tuple[str, ...]:
    """The names of a file's columns.

    Raises:
        InvalidInput: It cannot be read, or two columns have one name.
    """
    try:
        if is_csv(path):
            with _open_text(path, "rt") as file:
                names = next(csv.reader(file), [])
        else:
            names = list(parquet.ParquetFile(path).schema_arrow.names)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from error
    double = sorted({name for name in names if names.count(name) > 1})
    if double or not names:
        raise InvalidInput(f"{path}: {f'columns {double} stand there twice' if double else 'no columns'}")
    return tuple(names)


def read_blocks(path: Path, chunk_rows: int) -> Iterator[Block]:
    """The rows of a file in chunks of at most so many; the same file gives the same chunks.

    Cells of a CSV file stay the text they are.

    Raises:
        InvalidInput: It cannot be read.
    """
    number, first_row = 0, 1
    rows = chunk_rows * max(1, _BLOCK_ROWS // chunk_rows)
    try:
        for frame, table in _read_csv(path, rows) if is_csv(path) else _read_parquet(path, rows):
            starts = range(0, len(frame), chunk_rows)
            chunks = tuple(
                Chunk(
                    number=number + at,
                    first_row=first_row + start,
                    rows=min(chunk_rows, len(frame) - start),
                )
                for at, start in enumerate(starts)
            )
            if chunks:
                yield Block(first_row=first_row, frame=frame, table=table, chunks=chunks)
            number, first_row = number + len(chunks), first_row + len(frame)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InvalidInput(f"cannot read {path} after row {first_row - 1}: {error}") from error


@contextmanager
def open_sink(path: Path) -> Iterator[Sink]:
    """A new file for the rows and their predictions; it has its name only when it is whole."""
    whole = path.with_name(f".{path.name}.part")
    try:
        if is_csv(path):
            with _open_text(whole, "wt", is_gzip=path.name.endswith(".gz")) as file:
                yield _CsvSink(file)
        else:
            with _ParquetSink(whole) as sink:
                yield sink
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


class _CsvSink:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_first = True

    def write(self, block: Block, added: pd.DataFrame) -> None:
        joined = pd.concat([block.frame.reset_index(drop=True), added], axis=1)
        joined.to_csv(self._file, index=False, header=self._is_first, lineterminator="\n")
        self._is_first = False


class _ParquetSink:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> "_ParquetSink":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, block: Block, added: pd.DataFrame) -> None:
        table = block.table
        for name in added.columns:
            table = table.append_column(name, pa.array(added[name].to_numpy(), from_pandas=True))
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)


def _read_csv(path: Path, rows: int) -> Iterator[tuple[pd.DataFrame, Any]]:
    reader = pd.read_csv(
        path, dtype=str, chunksize=rows, keep_default_na=False, na_filter=False, encoding="utf-8"
    )
    with reader:
        for frame in reader:
            yield frame.fillna(""), None


def _read_parquet(path: Path, rows: int) -> Iterator[tuple[pd.DataFrame, Any]]:
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield batch.to_pandas(), pa.Table.from_batches([batch])


def _open_text(path: Path, mode: str, *, is_gzip: bool | None = None) -> Any:
    compressed = path.name.endswith(".gz") if is_gzip is None else is_gzip
    if compressed:
        return gzip.open(path, mode, encoding="utf-8", newline="")
    return path.open(mode, encoding="utf-8", newline="")
