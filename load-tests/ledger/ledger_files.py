"""What the client saw, in files that only grow: a run that is broken off can be gone on with."""

import json
import struct
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_ANSWER: Final = struct.Struct("<16sQB")  # prediction id, number of the request, whether it has no record
_FAILURE: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One line of the ledger."""

    prediction_id: str
    number: int
    is_unrecorded: bool


@dataclass(kw_only=True)
class Ledger:
    """Answered requests, failed ones apart, and what was done to the servers."""

    folder: Path
    answered: int = 0
    sent: int = 0
    newest: int = -1  # the highest number that was answered
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # of load, over all parts of a run
    faults: list[dict[str, object]] = field(default_factory=list)
    _answers: bytearray = field(default_factory=bytearray)
    _failures: bytearray = field(default_factory=bytearray)

    def add_answer(self, prediction_id: str, number: int, *, is_unrecorded: bool) -> None:
        """An answer came."""
        self._answers += _ANSWER.pack(uuid.UUID(prediction_id).bytes, number, is_unrecorded)
        self.answered += 1
        self.newest = max(self.newest, number)

    def add_failure(self, number: int, code: str) -> None:
        """None came; the request may have been recorded all the same."""
        self._failures += _FAILURE.pack(number)
        self.codes[code] += 1

    def save(self) -> None:
        """Append what is new."""
        for name, lines in (("answers.bin", self._answers), ("failures.bin", self._failures)):
            with (self.folder / name).open("ab") as file:
                file.write(lines)
            lines.clear()
        state = {"sent": self.sent, "codes": self.codes, "seconds": self.seconds, "faults": self.faults}
        (self.folder / "state.json").write_text(json.dumps(state))

    def answers(self) -> Iterator[Answer]:
        """All lines, from the file."""
        data = (self.folder / "answers.bin").read_bytes()
        for raw, number, is_unrecorded in _ANSWER.iter_unpack(data):
            yield Answer(
                prediction_id=str(uuid.UUID(bytes=raw)), number=number, is_unrecorded=bool(is_unrecorded)
            )

    def failures(self) -> set[int]:
        """The numbers of the requests that failed."""
        data = (self.folder / "failures.bin").read_bytes()
        return {number for (number,) in _FAILURE.iter_unpack(data)}


def fresh(folder: Path) -> Ledger:
    """An empty ledger; an earlier one of this folder is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("answers.bin", "failures.bin", "state.json"):
        (folder / name).unlink(missing_ok=True)
    return Ledger(folder=folder)


def resumed(folder: Path) -> Ledger:
    """The ledger of a run that was broken off; a torn last line is cut off.

    Raises:
        FileNotFoundError: There is none.
    """
    state = json.loads((folder / "state.json").read_text())
    path = folder / "answers.bin"
    answered = path.stat().st_size // _ANSWER.size
    with path.open("r+b") as file:
        file.truncate(answered * _ANSWER.size)
    return Ledger(
        folder=folder,
        answered=answered,
        # What was in flight then has numbers that nobody noted: the next ones are far from them.
        sent=state["sent"] + 1_000_000,
        codes=Counter(state["codes"]),
        seconds=state["seconds"],
        faults=state["faults"],
    )
