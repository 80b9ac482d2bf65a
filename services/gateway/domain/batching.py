"""Several requests to one, and one answer back to several."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf, prod
from typing import Final

import numpy as np

from services.gateway.domain.cost_model import CostModel
from services.gateway.domain.elements import element_ends
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.waiting_line import W, WaitingLine
from slipway.signature import TensorSpec

_ITEM_BYTES: Final = {"BOOL": 1, "FP32": 4, "FP64": 8, "INT32": 4, "INT64": 8}

_LOOK_AHEAD: Final = 2  # batches that are looked at for those who still have time

Columns = tuple[bytes, ...]


def take_batch(
    line: WaitingLine[W],
    costs: CostModel,
    *,
    now_s: float,
    timeout_s: float,
    max_rows: int,
    max_bytes: int,
) -> tuple[list[W], list[W]]:
    """Take from the line those who go together now, and those for whom it is too late.

    A batch has no more than `max_rows` and `max_bytes`, and its expected cost is within the smallest
    remaining time of its members. Whoever would be late even alone is taken out and not sent.

    Where those at the head have so little time left that they would allow only a small batch, some of them
    are late too, if that lets more rows go than it costs. Without this a lane under overload sinks into calls
    of one row, each for somebody who is just in time, and into a fraction of its rate.
    Source: "early drop" in Shen et al., "Nexus: A GPU Cluster Engine for Accelerating DNN-Based Video
        Analysis", SOSP 2019, section 4.3.

    Returns:
        The batch, and the late.
    """
    limits = _Limits(costs=costs, now_s=now_s, rows=max_rows, size_bytes=max_bytes)
    waiting, late = _in_time(line.in_order(timeout_s), limits)
    start, end = _best_run(waiting, limits)
    late += waiting[:start]
    batch = waiting[start:end]
    for waiter in (*late, *batch):
        line.remove(waiter)
    return batch, late


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    costs: CostModel
    now_s: float
    rows: int
    size_bytes: int


def _in_time(line: Iterable[W], limits: _Limits) -> tuple[list[W], list[W]]:
    """The next of a line who may still have an answer in time, and those before them who may not."""
    waiting: list[W] = []
    late: list[W] = []
    rows = 0
    for waiter in line:
        if rows >= _LOOK_AHEAD * limits.rows:
            break
        left_s = waiter.deadline_s - limits.now_s
        if left_s <= 0 or limits.costs.seconds(waiter.rows) > left_s:
            late.append(waiter)
        else:
            waiting.append(waiter)
            rows += waiter.rows
    return waiting, late


def _best_run(waiting: Sequence[W], limits: _Limits) -> tuple[int, int]:
    """The run of waiters, from a place to before another, that answers most rows less those before it."""
    best = (0, 0)
    best_gain = rows_before = start = 0
    next_start = 1
    while start < len(waiting):
        end, rows, is_cut_by_time = _run_from(waiting, start, limits)
        if start == 0 or rows - rows_before > best_gain:
            best, best_gain = (start, end), rows - rows_before
        if not is_cut_by_time:
            break
        rows_before += sum(waiter.rows for waiter in waiting[start:next_start])
        start, next_start = next_start, next_start * 2
    return best


def _run_from(waiting: Sequence[W], start: int, limits: _Limits) -> tuple[int, int, bool]:
    """Where a batch that starts at a place ends, its rows, and whether time was what ended it."""
    rows = size_bytes = 0
    least_s = inf
    for place in range(start, len(waiting)):
        waiter = waiting[place]
        next_rows, size_bytes = rows + waiter.rows, size_bytes + waiter.size_bytes
        least_s = min(least_s, waiter.deadline_s - limits.now_s)
        if place > start:
            if next_rows > limits.rows or size_bytes > limits.size_bytes:
                return place, rows, False
            if limits.costs.cautious_seconds(next_rows) > least_s:
                return place, rows, True
        rows = next_rows
    return len(waiting), rows, False


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
    if datatype == "FP32" and not np.isfinite(np.frombuffer(raw, dtype="<f4")).all():
        raise ArmFailed(f"the version answered NaN or infinity in {spec.name!r}")
    return [raw[start:end] for start, end in pairwise(bounds)]


def _text_bounds(raw: bytes, ends: Sequence[int]) -> list[int] | None:
    element_bounds = element_ends(raw, ends[-1])
    return None if element_bounds is None else [[0, *element_bounds][end] for end in ends]


def _fixed_bounds(raw: bytes, ends: Sequence[int], *, spec: TensorSpec) -> list[int] | None:
    row_bytes = _ITEM_BYTES[spec.datatype] * prod(spec.shape[1:])
    return [end * row_bytes for end in ends] if len(raw) == ends[-1] * row_bytes else None
