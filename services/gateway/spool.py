"""Segment files: what must reach Kafka, kept from the moment it is acknowledged until Kafka has it.

One record is one write(2): it survives the process. A crash may tear the last record of a file; at
the next start the torn tail is cut off. It was never acknowledged, for the answer follows the write.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from services.gateway import metrics
from services.gateway.changes import Changes
from services.gateway.domain.framing import MAX_PAYLOAD_BYTES, frame, read_frames
from services.gateway.snapshots import write_atomically
from slipway.envelope import Outgoing
from slipway.errors import InvalidInput, Overloaded

log = logging.getLogger(__name__)

_POSITION: Final = "position.json"
_SUFFIX: Final = ".segment"
_DAMAGED: Final = ".damaged"
_READ_BYTES: Final = 256 * 1024  # about a millisecond of the event loop
_LONGEST_FRAME: Final = MAX_PAYLOAD_BYTES + 8


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Everything before this has been shipped."""

    segment: int
    offset: int


class Spool:
    """A bounded queue in files, one writer and one reader in the same process."""

    def __init__(self, folder: Path, *, limit_bytes: int, segment_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = folder.name
        self.changes = Changes()
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._sizes = {number: self._path(number).stat().st_size for number in self._numbers()}
        self._total_bytes = sum(self._sizes.values())
        self._repair()
        self.position = self._read_position()
        self._current = max([*self._sizes, self.position.segment], default=0) + 1
        self._descriptor = self._open_segment()
        self._drop_shipped()

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be taken until Kafka has had some."""
        return self._total_bytes >= self._limit_bytes

    @property
    def backlog_bytes(self) -> int:
        """How much is left to ship."""
        return self._total_bytes - self.position.offset

    def append(self, messages: Iterable[Outgoing]) -> None:
        """Write messages with one write(2), all or none.

        Raises:
            InvalidInput: A message is larger than Kafka takes.
            Overloaded: The disk takes no more.
        """
        self.append_packed([pack(message) for message in messages])

    def append_packed(self, messages: Sequence[bytes]) -> None:
        """As `append`, for messages that are in the form of `pack`."""
        data = b"".join([_framed(message) for message in messages])
        size = self._sizes[self._current]
        try:
            written = os.write(self._descriptor, data)
            if written != len(data):
                os.ftruncate(self._descriptor, size)
                raise Overloaded(
                    f"spool {self.name}: the disk took {written} of {len(data)} bytes; free some"
                )
        except OSError as error:
            raise Overloaded(f"spool {self.name} cannot be written: {error}") from error
        self._sizes[self._current] = size + len(data)
        self._total_bytes += len(data)
        if self._sizes[self._current] >= self._segment_bytes:
            self._rotate()
        self.changes.notify()

    def read(self) -> tuple[list[Outgoing], Position]:
        """The next messages to ship, and the position behind them."""
        while True:
            at = self.position
            end = self._sizes.get(at.segment, 0)
            if at.offset < end:
                found = self._read_segment(at, end)
                if found is not None:
                    return found
            if at.segment >= self._current:
                return [], self.position
            self.advance(Position(min(n for n in self._sizes if n > at.segment), 0))

    def advance(self, position: Position) -> None:
        """Note that everything before `position` is in Kafka."""
        self.position = position
        self._drop_shipped()

    def save_position(self) -> None:
        """Write the position to disk; until then a crash ships a little twice."""
        write_atomically(
            self._folder / _POSITION,
            orjson.dumps({"segment": self.position.segment, "offset": self.position.offset}),
        )

    def close(self) -> None:
        """Close the current segment."""
        os.close(self._descriptor)

    def measure(self) -> None:
        """Set the gauges."""
        metrics.SPOOL_BYTES.labels(self.name).set(self._total_bytes)
        metrics.SPOOL_BACKLOG_BYTES.labels(self.name).set(self.backlog_bytes)

    def _read_segment(self, at: Position, end: int) -> tuple[list[Outgoing], Position] | None:
        """Whole messages at a position; None where the rest of the segment is spoiled."""
        size = min(_READ_BYTES, end - at.offset)
        for wanted in (size, min(_LONGEST_FRAME, end - at.offset)):
            with self._path(at.segment).open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), wanted, at.offset)
            frames = read_frames(data)
            if frames.payloads:
                messages = [_unpack(payload) for payload in frames.payloads]
                return messages, Position(at.segment, at.offset + frames.end)
        self._set_aside(at, end)
        return None

    def _set_aside(self, at: Position, end: int) -> None:
        """Keep a spoiled file for people, and go on behind it."""
        metrics.SPOOL_DAMAGED_BYTES.labels(self.name).inc(end - at.offset)
        log.error(
            "segment is damaged, its rest is not shipped",
            extra={"spool": self.name, "segment": at.segment, "offset": at.offset, "bytes": end - at.offset},
        )
        if at.segment == self._current:
            self._rotate()
        path = self._path(at.segment)
        path.rename(path.with_suffix(_DAMAGED))
        self._total_bytes -= self._sizes.pop(at.segment)

    def _rotate(self) -> None:
        os.close(self._descriptor)
        self._current += 1
        self._descriptor = self._open_segment()

    def _open_segment(self) -> int:
        self._sizes[self._current] = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.open(self._path(self._current), flags, 0o600)

    def _drop_shipped(self) -> None:
        for number in [n for n in self._sizes if n < self.position.segment]:
            self._path(number).unlink(missing_ok=True)
            self._total_bytes -= self._sizes.pop(number)

    def _repair(self) -> None:
        """Cut the torn tail off the newest segment."""
        if not self._sizes:
            return
        newest = max(self._sizes)
        path, size = self._path(newest), self._sizes[newest]
        frames = read_frames(path.read_bytes())
        if frames.end < size:
            log.warning(
                "cut a torn record off a segment",
                extra={"spool": self.name, "segment": newest, "bytes": size - frames.end},
            )
            metrics.SPOOL_DAMAGED_BYTES.labels(self.name).inc(size - frames.end)
            os.truncate(path, frames.end)
            self._sizes[newest] = frames.end
            self._total_bytes -= size - frames.end

    def _read_position(self) -> Position:
        path = self._folder / _POSITION
        try:
            entry = orjson.loads(path.read_bytes())
            saved = Position(int(entry["segment"]), int(entry["offset"]))
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError):
            saved = Position(0, 0)
        if saved.segment in self._sizes:
            return Position(saved.segment, min(saved.offset, self._sizes[saved.segment]))
        later = [number for number in self._sizes if number > saved.segment]
        return Position(min(later), 0) if later else Position(max([*self._sizes, saved.segment]), 0)

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{_SUFFIX}"


def pack(message: Outgoing) -> bytes:
    """Topic, key and headers as one JSON line, then the value."""
    about = [message.topic, message.key, [(name, value.decode()) for name, value in message.headers]]
    return orjson.dumps(about) + b"\n" + message.value


def _framed(packed: bytes) -> bytes:
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise InvalidInput(
            f"the record would have {len(packed)} bytes, {MAX_PAYLOAD_BYTES} at most: send fewer rows at once"
        )
    return frame(packed)


def _unpack(payload: bytes) -> Outgoing:
    line, _, value = payload.partition(b"\n")
    topic, key, headers = orjson.loads(line)
    return Outgoing(
        topic=topic, key=key, value=value, headers=tuple((name, text.encode()) for name, text in headers)
    )
