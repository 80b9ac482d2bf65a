"""What has been scored so far, in a file beside the output: killed at any point, the next run goes on."""

import hashlib
import os
from collections.abc import Set
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from slipway.client.prediction import Prediction
from slipway.errors import Conflict

_SUFFIX: Final = ".progress"
_READ_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is scored; a progress file belongs to one of these."""

    model: str
    file: str
    sha256: str
    rows: int
    chunk_rows: int
    format: int = 1


def progress_path(out: Path) -> Path:
    """Where the progress towards an output stands."""
    return out.with_name(out.name + _SUFFIX)


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def planned_chunk_rows(path: Path) -> int | None:
    """The chunk size of the run that is to be continued; None where none was begun."""
    try:
        with path.open("rb") as file:
            plan = orjson.loads(file.readline())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return int(plan["chunk_rows"]) if isinstance(plan, dict) and "chunk_rows" in plan else None


class ProgressFile:
    """Lines of JSON, each written whole or cut off at the next start."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._results: dict[int, tuple[int, int]] = {}  # chunk -> where its line is
        self._submissions: dict[int, str] = {}
        self._end = self._read(plan) if path.exists() else 0
        self._file = path.open("a+b", buffering=0)
        self._file.truncate(self._end)
        if self._end == 0:
            self._append(asdict(plan))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def done(self) -> Set[int]:
        """The chunks that have their answers."""
        return self._results.keys()

    def submission(self, chunk: int) -> str:
        """The id under which a chunk was submitted before; empty: it was not."""
        return self._submissions.get(chunk, "")

    def submit(self, chunk: int, submission_id: str) -> None:
        """Note a submission before it is made, so that it is not made twice."""
        self._submissions[chunk] = submission_id
        self._append({"chunk": chunk, "submission": submission_id})

    def finish(self, chunk: int, prediction: Prediction) -> None:
        """Keep an answer."""
        it = asdict(prediction)
        if prediction.probabilities is not None:
            it["probabilities"] = prediction.probabilities.tolist()
        it.pop("feedback_token")
        start = self._end
        self._append({"chunk": chunk, "answer": it})
        self._results[chunk] = (start, self._end - start)

    def answer(self, chunk: int) -> dict[str, Any]:
        """The answer of a chunk that is done."""
        start, size = self._results[chunk]
        data = os.pread(self._file.fileno(), size, start)
        found: dict[str, Any] = orjson.loads(data)["answer"]
        return found

    def delete(self) -> None:
        """The output is whole: nothing needs to be continued."""
        self._path.unlink(missing_ok=True)

    def _append(self, entry: dict[str, Any]) -> None:
        line = orjson.dumps(entry) + b"\n"
        self._file.write(line)
        self._end += len(line)

    def _read(self, plan: Plan) -> int:
        """Take what earlier runs have written; returns where it ends."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                entry = _parse(line)
                if entry is None:
                    break
                if end == 0:
                    self._check(entry, plan)
                elif "answer" in entry:
                    self._results[entry["chunk"]] = (end, len(line))
                else:
                    self._submissions[entry["chunk"]] = entry["submission"]
                end += len(line)
        return end

    def _check(self, entry: dict[str, Any], plan: Plan) -> None:
        other = [name for name, value in asdict(plan).items() if entry.get(name) != value]
        if other:
            raise Conflict(
                f"{self._path} belongs to another run ({', '.join(other)} differ): delete it to begin anew, "
                "or give another output"
            )


def _parse(line: bytes) -> dict[str, Any] | None:
    """An entry; None where a kill has torn it."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) else None
