"""A whole file through a model, as jobs of low priority."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import pandas as pd

from slipway.client.encoding import ModelInputs, encode_rows
from slipway.client.prediction import Prediction
from slipway.clock import Clock
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.oip.open_inference_pb2 import ModelInferRequest
from slipway.score.columns import check_columns, features_of, in_file
from slipway.score.desk import JobFailed, ResultGone
from slipway.score.progress_file import Plan, ProgressFile, digest_of
from slipway.score.table_file import Chunk, columns_of, open_sink, read_blocks

# The gateway knows a submission by its id for a day; well before that it gets a new one.
_SUBMISSION_LASTS_S: Final = 20 * 3600.0


class Desk(Protocol):
    """Where rows are predicted."""

    async def score(self, request: ModelInferRequest, submission_id: str) -> Prediction:
        """Have rows predicted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be done."""

    file: Path
    out: Path
    inputs: ModelInputs
    prefix: str
    outstanding: int


def plan_of(task: Task, *, chunk_rows: int, tell: Callable[[int], None]) -> Plan:
    """Read the whole file once: what is wrong with it is said before anything is sent.

    Args:
        task: What is to be done.
        chunk_rows: Rows of one job.
        tell: Called with the number of rows read so far.
    Raises:
        InvalidInput: Names row and column.
    """
    check_columns(task.inputs, columns_of(task.file), task.file)
    rows = 0
    for block in read_blocks(task.file, chunk_rows):
        features_of(task.inputs, block, task.file)
        rows += len(block.frame)
        tell(rows)
    if not rows:
        raise InvalidInput(f"{task.file} has no rows")
    return Plan(
        model=task.inputs.model,
        file=task.file.name,
        sha256=digest_of(task.file),
        rows=rows,
        chunk_rows=chunk_rows,
    )


class Scoring:
    """Sends what has no answer yet, a bounded number of chunks at once, and writes the output at the end."""

    def __init__(self, task: Task, plan: Plan, *, progress: ProgressFile, desk: Desk, clock: Clock) -> None:
        self._task = task
        self._plan = plan
        self._progress = progress
        self._desk = desk
        self._clock = clock

    async def send(self, tell: Callable[[int], None]) -> int:
        """Have every chunk answered; returns how many rows had been before.

        Args:
            tell: Called with a number of rows that have their answers.
        Raises:
            SlipwayError: One chunk has no answer; those that have keep it.
        """
        slots = asyncio.Semaphore(self._task.outstanding)
        resumed = 0
        async with asyncio.TaskGroup() as group:
            for chunk, rows in self._open_chunks():
                if rows is None:
                    resumed += chunk.rows
                    tell(chunk.rows)
                    continue
                await slots.acquire()
                work = group.create_task(self._score(chunk, rows, tell=tell))
                work.add_done_callback(lambda _: slots.release())
        return resumed

    def write(self, tell: Callable[[int], None]) -> dict[str, int]:
        """Write the output; returns how many rows each version has answered."""
        by_version: Counter[str] = Counter()
        with open_sink(self._task.out) as sink:
            for block in read_blocks(self._task.file, self._plan.chunk_rows):
                added = []
                for chunk in block.chunks:
                    answer = self._progress.answer(chunk.number)
                    added.append(added_columns(answer, rows=chunk.rows, prefix=self._task.prefix))
                    by_version[answer["version"]] += chunk.rows
                sink.write(block, pd.concat(added, ignore_index=True))
                tell(len(block.frame))
        self._progress.delete()
        return dict(by_version)

    def _open_chunks(self) -> Iterator[tuple[Chunk, pd.DataFrame | None]]:
        """Every chunk with its features; without them where its answer is there."""
        for block in read_blocks(self._task.file, self._plan.chunk_rows):
            features = features_of(self._task.inputs, block, self._task.file)
            for chunk in block.chunks:
                is_done = chunk.number in self._progress.done
                yield chunk, None if is_done else block.part(features, chunk)

    async def _score(self, chunk: Chunk, rows: pd.DataFrame, *, tell: Callable[[int], None]) -> None:
        try:
            prediction = await self._answer(chunk.number, encode_rows(self._task.inputs, rows))
        except InvalidInput as error:
            raise InvalidInput(in_file(str(error), chunk, self._task.file)) from error
        except JobFailed as error:
            raise JobFailed(in_file(str(error), chunk, self._task.file)) from error
        self._progress.finish(chunk.number, prediction)
        tell(chunk.rows)

    async def _answer(self, number: int, request: ModelInferRequest) -> Prediction:
        known = self._progress.submission(number)
        if known and self._clock.now_s() - _made_at_s(known) < _SUBMISSION_LASTS_S:
            with suppress(ResultGone, JobFailed):  # that job is over: another may have better luck
                return await self._desk.score(request, known)
        fresh = new_id()
        self._progress.submit(number, fresh)
        return await self._desk.score(request, fresh)


def added_columns(answer: dict[str, Any], *, rows: int, prefix: str) -> pd.DataFrame:
    """The columns that an answer adds to its rows.

    Raises:
        InvalidInput: It has another number of rows.
    """
    columns: dict[str, Any] = {}
    for name in ("labels", "values"):
        if answer[name]:
            columns[prefix + name.removesuffix("s")] = answer[name]
    for at, column in enumerate(zip(*(answer["probabilities"] or ()), strict=True)):
        columns[f"{prefix}probability_{at}"] = column
    if not columns or any(len(column) != rows for column in columns.values()):
        raise InvalidInput(f"prediction {answer['prediction_id']} has not {rows} rows")
    columns[prefix + "version"] = [answer["version"]] * rows
    columns[prefix + "id"] = [answer["prediction_id"]] * rows
    columns[prefix + "row"] = list(range(rows))
    return pd.DataFrame(columns)


def _made_at_s(submission_id: str) -> float:
    return (UUID(submission_id).int >> 80) / 1000
