"""Several requests to one, and one answer back to several."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Final

from services.gateway.domain.elements import element_ends
from services.gateway.domain.failures import ArmFailed
from slipway.signature import TensorSpec

_ITEM_BYTES: Final = {"BOOL": 1, "FP32": 4, "FP64": 8, "INT32": 4, "INT64": 8}

Columns = tuple[bytes, ...]


def count_to_take(sizes: Iterable[tuple[int, int]], *, max_rows: int, max_bytes: int) -> int:
    """How many waiting requests, given as (rows, bytes) in order, go together; at least the first."""
    taken = rows = size = 0
    for next_rows, next_bytes in sizes:
        rows, size = rows + next_rows, size + next_bytes
        if taken and (rows > max_rows or size > max_bytes):
            break
        taken += 1
    return taken


def join_columns(requests: Sequence[Columns]) -> Columns:
    """Rows of all requests below each other. In raw form, rows are bytes that follow each other."""
    if len(requests) == 1:
        return requests[0]
    return tuple(b"".join(column) for column in zip(*requests, strict=True))


def split_answer(
    outputs: Sequence[TensorSpec], answer: Mapping[str, tuple[str, bytes]], *, rows: Sequence[int]
) -> list[Columns]:
    """Give every request its rows of an answer.

    Args:
        outputs: What the model promises.
        answer: Datatype and raw bytes by tensor name.
        rows: Rows of each request, in the order they were joined.
    Raises:
        ArmFailed: The answer is not what the signature promises.
    """
    per_output = [_split_tensor(spec, answer, rows=rows) for spec in outputs]
    return list(zip(*per_output, strict=True))


def _split_tensor(
    spec: TensorSpec, answer: Mapping[str, tuple[str, bytes]], *, rows: Sequence[int]
) -> list[bytes]:
    if spec.name not in answer:
        raise ArmFailed(f"the version did not answer {spec.name!r}")
    datatype, raw = answer[spec.name]
    if datatype != spec.datatype:
        raise ArmFailed(f"the version answered {spec.name!r} as {datatype}, not {spec.datatype}")
    ends = list(accumulate(rows, initial=0))
    bounds = _text_bounds(raw, ends) if datatype == "BYTES" else _fixed_bounds(raw, ends, spec=spec)
    if bounds is None:
        raise ArmFailed(f"the version answered {len(raw)} bytes of {spec.name!r} for {ends[-1]} rows")
    return [raw[start:end] for start, end in pairwise(bounds)]


def _text_bounds(raw: bytes, ends: Sequence[int]) -> list[int] | None:
    element_bounds = element_ends(raw, ends[-1])
    return None if element_bounds is None else [[0, *element_bounds][end] for end in ends]


def _fixed_bounds(raw: bytes, ends: Sequence[int], *, spec: TensorSpec) -> list[int] | None:
    row_bytes = _ITEM_BYTES[spec.datatype] * prod(spec.shape[1:])
    return [end * row_bytes for end in ends] if len(raw) == ends[-1] * row_bytes else None
