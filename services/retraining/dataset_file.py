"""A Parquet file as labelled rows, checked against the spec. Row order is time order."""

import hashlib
import io
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.retraining.store.examples import StoredExample
from slipway.errors import InvalidInput
from slipway.spec import Spec
from slipway.spec_sections import Feature

SOURCE: Final = "dataset:"


def dataset_id_of(parquet: bytes) -> str:
    """SHA-256 of the file, hex."""
    return hashlib.sha256(parquet).hexdigest()


def read_examples(parquet: bytes, spec: Spec) -> list[StoredExample]:
    """All rows of a dataset. Columns that the spec does not name are left out.

    Raises:
        InvalidInput: Not Parquet, or not data of this model: names column, row and value.
    """
    table = _read(parquet, spec)
    numeric = [_numbers(table, f) for f in spec.features if f.type == "numeric"]
    texts = [_texts(table, f) for f in spec.features if f.type == "categorical"]
    labels = _labels(table, spec)
    packed = np.column_stack(numeric).astype("<f4") if numeric else np.empty((len(labels), 0), dtype="<f4")
    name = SOURCE + dataset_id_of(parquet)
    return [
        StoredExample(
            model=spec.name,
            prediction_id=name,
            row=at,
            revision=1,
            label=label,
            numbers=packed[at].tobytes(),
            texts=tuple(column[at] for column in texts),
            version="",
            source=name,
            served_at_s=0.0,
        )
        for at, label in enumerate(labels)
    ]


def _read(parquet: bytes, spec: Spec) -> pa.Table:
    wanted = [*spec.feature_names, spec.label.name]
    try:
        file = pq.ParquetFile(io.BytesIO(parquet))
        missing = [name for name in wanted if name not in file.schema_arrow.names]
        if missing:
            raise InvalidInput(
                f"dataset: columns {', '.join(missing)} of model {spec.name} are missing; "
                f"the file has {', '.join(file.schema_arrow.names)}"
            )
        rows = file.metadata.num_rows
        if not 0 < rows <= spec.retraining.keep_rows:
            raise InvalidInput(f"dataset: {rows} rows; wanted are 1..{spec.retraining.keep_rows} (keep_rows)")
        return file.read(columns=wanted)
    except pa.ArrowException as error:
        raise InvalidInput(f"dataset is not a Parquet file that can be read: {error}") from error


def _numbers(table: pa.Table, feature: Feature) -> Any:
    column = table[feature.name]
    try:
        values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float32)
    except pa.ArrowException as error:
        raise InvalidInput(f"dataset: column {feature.name} is {column.type}, wanted are numbers") from error
    bad = np.isinf(values) if feature.nullable else ~np.isfinite(values)
    if bad.any():
        raise InvalidInput(
            f"dataset: column {feature.name}, row {int(np.flatnonzero(bad)[0])}: {values[bad][0]} "
            f"is no number; set `nullable: true` to allow missing values"
        )
    return values


def _texts(table: pa.Table, feature: Feature) -> list[str]:
    column = table[feature.name]
    try:
        values = pc.cast(column, pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise InvalidInput(f"dataset: column {feature.name} is {column.type}, wanted is text") from error
    if not feature.nullable and (at := next((i for i, v in enumerate(values) if not v), None)) is not None:
        raise InvalidInput(
            f"dataset: column {feature.name}, row {at} is empty; set `nullable: true` to allow it"
        )
    return [(v or "").replace("\0", "") for v in values]


def _labels(table: pa.Table, spec: Spec) -> list[str]:
    values = [_class_name(v) for v in table[spec.label.name].to_pylist()]
    if not spec.is_classifier:
        return values
    known = set(spec.label.classes)
    strange = next((i for i, v in enumerate(values) if v not in known), None)
    if strange is not None:
        raise InvalidInput(
            f"dataset: column {spec.label.name}, row {strange}: {values[strange]!r} is none of the classes "
            f"{', '.join(spec.label.classes)}"
        )
    return values


def _class_name(value: Any) -> str:
    """Labels are texts; a whole number written as a float, or a truth value, still means its class."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
