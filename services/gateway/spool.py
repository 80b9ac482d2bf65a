"""Segment files: what must reach Kafka, kept from the moment it is acknowledged until Kafka has it.

One record is one write(2): it survives the process. A crash may tear the last record of a file; at
the next start the torn tail is cut off. It was never acknowledged, for the answer follows the write.
A spoiled record is kept apart and the records behind it are shipped. While the disk is full nothing
is taken but a trial now and then.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import orjson

from services.gateway import metrics
from services.gateway.domain.framing import (
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    find_frame,
    frame,
    read_frames,
)
from services.gateway.milestone import Milestone, Position
from services.gateway.segments import MARK, Segments
from slipway.changes import Changes
from slipway.envelope import Outgoing
from slipway.errors import InvalidInput, Overloaded, Unavailable
from slipway.snapshots import write_atomically

log = logging.getLogger(__name__)

_POSITION: Final = "position.json"
_READ_BYTES: Final = 256 * 1024  # about a millisecond of the event loop
_LONGEST_FRAME: Final = MAX_PAYLOAD_BYTES + HEADER_BYTES
_TRIAL_S: Final = 0.25  # after a failure of the disk, until something is written again
_CLOSED: Final = -1


class Spool:
    """A bounded queue in files, one writer and one reader in the same process."""

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int,
        segment_bytes: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = folder.name
        self.changes = Changes()
        self._segments = Segments(folder)
        self._limit_bytes = limit_bytes
        self._segment_bytes = segment_bytes
        self._monotonic_s = monotonic_s
        self._blocked_until_s = 0.0  # 0: the disk took what it was given last
        self._sizes = self._segments.sizes()
        self._repair()
        self._total_bytes = sum(self._sizes.values())
        self.shipped = Milestone(self._read_position())
        self._current = max([*self._sizes, self.position.segment], default=0)
        self._sizes.setdefault(self._current, 0)
        self._descriptor = _CLOSED
        self._rotate()
        self._drop_shipped()

    @property
    def position(self) -> Position:
        """Everything before this is in Kafka."""
        return self.shipped.at

    @property
    def end(self) -> Position:
        """Where the next record will stand."""
        return Position(self._current, self._sizes[self._current])

    @property
    def is_full(self) -> bool:
        """Whether nothing may be taken: until Kafka has had some, or the disk is due for another trial."""
        if self._total_bytes >= self._limit_bytes:
            return True
        return self.is_blocked and self._monotonic_s() < self._blocked_until_s

    @property
    def used_share(self) -> float:
        """How much of its room is used."""
        return self._total_bytes / self._limit_bytes

    @property
    def is_blocked(self) -> bool:
        """Whether the disk refused what it was given last."""
        return self._blocked_until_s > 0

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
        if self._descriptor == _CLOSED:
            self._rotate()
        size = self._sizes[self._current]
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._block(error)
            raise Overloaded(
                f"spool {self.name} cannot be written: {error}", retry_after_s=_TRIAL_S
            ) from error
        if written != len(data):
            self._undo(size)
            what = f"the disk took {written} of {len(data)} bytes; free some"
            raise Overloaded(f"spool {self.name}: {what}", retry_after_s=_TRIAL_S)
        self._blocked_until_s = 0.0
        self._sizes[self._current] = size + written
        self._total_bytes += written
        if size + written >= self._segment_bytes:
            self._rotate()
        self.changes.notify()

    def read(self) -> tuple[list[Outgoing], Position]:
        """The next messages to ship, and the position behind them.

        Raises:
            Unavailable: The disk does not give them.
        """
        try:
            while True:
                at = self.position
                if at.offset < self._sizes.get(at.segment, 0):
                    messages, position = self._read_segment(at)
                    if messages:
                        return messages, position
                    self.advance(position)
                elif at.segment >= self._current:
                    return [], at
                else:
                    self.advance(Position(min(n for n in self._sizes if n > at.segment), 0))
        except OSError as error:
            raise Unavailable(f"spool {self.name} cannot be read: {error}") from error

    def advance(self, position: Position) -> None:
        """Note that everything before `position` is in Kafka."""
        self.shipped.reach(position)
        self._drop_shipped()

    def save_position(self) -> None:
        """Write the position to disk; until then a crash ships a little twice.

        Raises:
            OSError: The disk takes no more.
        """
        position = self.position
        write_atomically(
            self._segments.folder / _POSITION,
            orjson.dumps({"segment": position.segment, "offset": position.offset}),
        )

    def paths_since(self, position: Position) -> list[Path]:
        """What must be synced so that the disk has everything from a position on."""
        paths = [self._segments.path(number) for number in self._sizes if number >= position.segment]
        return paths if position.segment == self._current else [*paths, self._segments.folder]

    def leave_segment(self) -> None:
        """Write no more to the current segment, whatever the disk thinks of a new one."""
        before = self._current
        self._rotate()
        if self._current == before:
            self.close()

    def close(self) -> None:
        """Close the current segment."""
        if self._descriptor != _CLOSED:
            os.close(self._descriptor)
            self._descriptor = _CLOSED

    def measure(self) -> None:
        """Set the gauges."""
        metrics.SPOOL_BYTES.labels(self.name).set(self._total_bytes)
        metrics.SPOOL_BACKLOG_BYTES.labels(self.name).set(self.backlog_bytes)
        metrics.SPOOL_FULL.labels(self.name).set(self.is_full or self.is_blocked)

    def _read_segment(self, at: Position) -> tuple[list[Outgoing], Position]:
        """Whole messages at a position and the place behind them; none where the file is spoiled."""
        left = self._sizes[at.segment] - at.offset
        for wanted in (min(_READ_BYTES, left), min(_LONGEST_FRAME, left)):
            frames = read_frames(self._segments.read(at.segment, wanted, offset=at.offset))
            if frames.payloads:
                messages = [_unpack(payload) for payload in frames.payloads]
                return messages, Position(at.segment, at.offset + frames.end)
        return [], Position(at.segment, at.offset + self._set_aside(at, left))

    def _set_aside(self, at: Position, left: int) -> int:
        """Keep spoiled bytes for people; how many there are until the next whole record."""
        if at.segment == self._current:
            self.leave_segment()
        data = self._segments.read(at.segment, left, offset=at.offset)
        found = find_frame(data, MARK, start=1)
        spoiled = left if found is None else found
        metrics.SPOOL_DAMAGED_BYTES.labels(self.name).inc(spoiled)
        self._segments.keep_damaged(at.segment, data[:spoiled], offset=at.offset)
        return spoiled

    def _undo(self, size: int) -> None:
        """Take back what the disk took of a record that it did not take as a whole."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError:
            self.leave_segment()  # the torn record is its last one: nothing may follow it
        self._block(None)

    def _block(self, error: OSError | None) -> None:
        if not self.is_blocked:
            log.error("the disk takes no more: %r", error, extra={"spool": self.name})
        self._blocked_until_s = self._monotonic_s() + _TRIAL_S
        if self._sizes[self._current]:
            self._rotate()  # the file may be at its own limit; and once shipped, it gives its room back

    def _rotate(self) -> None:
        """Go on in a new segment; in the present one while the disk takes no new file."""
        try:
            descriptor = self._segments.open(self._current + 1)
        except OSError:
            return
        self.close()
        self._current, self._descriptor = self._current + 1, descriptor
        self._sizes[self._current] = 0

    def _drop_shipped(self) -> None:
        for number in [n for n in self._sizes if n < min(self.position.segment, self._current)]:
            self._segments.drop(number)
            self._total_bytes -= self._sizes.pop(number)

    def _repair(self) -> None:
        """Cut the torn tail off the newest segment."""
        if self._sizes:
            newest = max(self._sizes)
            cut = self._segments.cut_torn_tail(newest)
            self._sizes[newest] -= cut
            metrics.SPOOL_DAMAGED_BYTES.labels(self.name).inc(cut)

    def _read_position(self) -> Position:
        path = self._segments.folder / _POSITION
        try:
            entry = orjson.loads(path.read_bytes())
            saved = Position(int(entry["segment"]), int(entry["offset"]))
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError):
            saved = Position(0, 0)
        if saved.segment in self._sizes:
            return Position(saved.segment, min(saved.offset, self._sizes[saved.segment]))
        later = [number for number in self._sizes if number > saved.segment]
        return Position(min(later), 0) if later else Position(max([*self._sizes, saved.segment]), 0)


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
