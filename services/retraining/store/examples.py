"""The SQL of labelled rows: what arrived, in which order it is learned, how much is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from services.retraining.domain.examples import LIVE, ExampleKey, ExampleSet
from slipway.errors import NotFound
from slipway.postgres import Connection, Pool

_FETCH_ROWS: Final = 5000
_COPY_DEADLINE_S: Final = 120.0
_UPSERT: Final = """
    INSERT INTO examples AS known (model, prediction_id, row_index, revision, label, numbers, texts, version,
                                   source, era, served_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (model, prediction_id, row_index) DO UPDATE SET
        revision = excluded.revision, label = excluded.label, numbers = excluded.numbers,
        texts = excluded.texts, version = excluded.version, source = excluded.source, era = excluded.era,
        served_at = coalesce(nullif(excluded.served_at, 0), known.served_at)
    WHERE excluded.revision > known.revision
"""
_OFFSETS: Final = """
    INSERT INTO label_offsets AS known (model, partition, first_offset, last_offset) VALUES ($1, $2, $3, $4)
    ON CONFLICT (model, partition) DO UPDATE SET
        first_offset = least(known.first_offset, excluded.first_offset),
        last_offset = greatest(known.last_offset, excluded.last_offset)
"""
_IN_ORDER: Final = """
    SELECT prediction_id, row_index, revision, label, numbers, texts, source, era, served_at
    FROM examples WHERE model = $1 AND label IS NOT NULL
    ORDER BY era, served_at, prediction_id, row_index
"""
_PRUNE: Final = """
    DELETE FROM examples WHERE model = $1 AND (prediction_id, row_index) IN (
        SELECT prediction_id, row_index FROM examples WHERE model = $1
        ORDER BY era DESC, served_at DESC, prediction_id DESC, row_index DESC OFFSET $2)
"""
_COLUMNS: Final = (
    *("model", "prediction_id", "row_index", "revision", "label", "numbers", "texts", "version"),
    *("source", "era", "served_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExample:
    """One row as it is kept; without a label it is the tombstone of a retraction."""

    model: str
    prediction_id: str
    row: int
    revision: int
    label: str | None
    numbers: bytes | None
    texts: tuple[str, ...]
    version: str
    source: str
    served_at_s: float
    era: int = LIVE

    @property
    def record(self) -> tuple[Any, ...]:
        """The values in the order of the columns."""
        return (
            *(self.model, self.prediction_id, self.row, self.revision, self.label, self.numbers),
            *(list(self.texts), self.version, self.source, self.era, self.served_at_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRange:
    """A stretch of one partition of `labels`."""

    model: str
    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How stored rows are read: the spec's classes, and how many features of each kind."""

    classes: tuple[str, ...]
    numeric: int
    categorical: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A registered dataset."""

    model: str
    dataset_id: str
    name: str
    rows: int


class ExampleStore:
    """All that a model may learn from."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, examples: Iterable[StoredExample], offsets: Iterable[OffsetRange]) -> None:
        """Take rows in; one that is not newer than what is known changes nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.executemany(_UPSERT, [e.record for e in examples])
            await connection.executemany(_OFFSETS, [(o.model, o.partition, o.first, o.last) for o in offsets])

    async def find_dataset(self, model: str, dataset_id: str) -> Dataset:
        """A dataset by its hash.

        Raises:
            NotFound: It was never registered for this model.
        """
        row = await self._pool.fetchrow(
            "SELECT name, rows FROM datasets WHERE model = $1 AND dataset_id = $2", model, dataset_id
        )
        if row is None:
            raise NotFound(f"model {model} has no dataset {dataset_id}")
        return Dataset(model=model, dataset_id=dataset_id, name=row["name"], rows=row["rows"])

    async def add_dataset(self, dataset: Dataset, examples: Sequence[StoredExample]) -> None:
        """Store a dataset behind those registered earlier and before all served rows; known ones stay."""
        async with self._pool.acquire() as connection, connection.transaction():
            era = await _next_era(connection, dataset)
            if era is None:
                return
            records = [(*e.record[:-2], era, e.served_at_s) for e in examples]
            await connection.copy_records_to_table(
                "examples", records=records, columns=_COLUMNS, timeout=_COPY_DEADLINE_S
            )

    async def count(self, model: str) -> int:
        """Rows that can be learned from."""
        return int(
            await self._pool.fetchval(
                "SELECT count(*) FROM examples WHERE model = $1 AND label IS NOT NULL", model
            )
        )

    async def load(self, model: str, columns: Columns) -> tuple[ExampleSet, list[OffsetRange]]:
        """Every row that can be learned from, in order, and the offsets they came from, as of one moment.

        Rows of another shape, or with a class that the spec no longer has, are left out.
        """
        parts: list[ExampleSet] = []
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            cursor = await connection.cursor(_IN_ORDER, model)
            while rows := await cursor.fetch(_FETCH_ROWS):
                parts.append(_to_set(rows, columns))
            offsets = await connection.fetch(
                "SELECT partition, first_offset, last_offset FROM label_offsets "
                "WHERE model = $1 ORDER BY partition",
                model,
            )
        ranges = [OffsetRange(model=model, partition=p, first=first, last=last) for p, first, last in offsets]
        return _joined(parts or [_to_set([], columns)]), ranges

    async def prune(self, model: str, keep_rows: int) -> int:
        """Delete the oldest rows above a bound, tombstones included; returns how many."""
        done = await self._pool.execute(_PRUNE, model, keep_rows)
        return int(done.rpartition(" ")[2])


async def _next_era(connection: Connection, dataset: Dataset) -> int | None:
    """The place of a new dataset; None when it is known already."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('datasets/' || $1))", dataset.model)
    era: int | None = await connection.fetchval(
        "INSERT INTO datasets (model, dataset_id, name, era, rows) "
        "SELECT $1, $2, $3, coalesce(max(era), 0) + 1, $4 FROM datasets WHERE model = $1 "
        "ON CONFLICT (model, dataset_id) DO NOTHING RETURNING era",
        *(dataset.model, dataset.dataset_id, dataset.name, dataset.rows),
    )
    return era


def _to_set(rows: Sequence[Any], columns: Columns) -> ExampleSet:
    place = {name: i for i, name in enumerate(columns.classes)}
    size = columns.numeric * 4
    fitting = [r for r in rows if r[3] in place and len(r[4]) == size and len(r[5]) == columns.categorical]
    numbers = np.frombuffer(b"".join(r[4] for r in fitting), dtype="<f4")
    texts = np.empty((len(fitting), columns.categorical), dtype=object)
    for at, row in enumerate(fitting if columns.categorical else ()):
        texts[at] = row[5]
    return ExampleSet(
        keys=[ExampleKey(prediction_id=r[0], row=r[1], label=r[3], revision=r[2]) for r in fitting],
        sources=[r[6] for r in fitting],
        eras=np.array([r[7] for r in fitting], dtype=np.int64),
        served_at_s=np.array([r[8] for r in fitting], dtype=np.float64),
        codes=np.array([place[r[3]] for r in fitting], dtype=np.int64),
        numbers=numbers.reshape(len(fitting), columns.numeric),
        texts=texts,
    )


def _joined(parts: Sequence[ExampleSet]) -> ExampleSet:
    return ExampleSet(
        keys=[key for part in parts for key in part.keys],
        sources=[source for part in parts for source in part.sources],
        eras=np.concatenate([p.eras for p in parts]),
        served_at_s=np.concatenate([p.served_at_s for p in parts]),
        codes=np.concatenate([p.codes for p in parts]),
        numbers=np.concatenate([p.numbers for p in parts]),
        texts=np.concatenate([p.texts for p in parts]),
    )
