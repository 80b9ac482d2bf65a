"""Records in a file that a crash may have torn or a disk spoiled: length, CRC-32, bytes."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

_HEADER: Final = struct.Struct("<II")
HEADER_BYTES: Final = _HEADER.size
MAX_PAYLOAD_BYTES: Final = 7 * 1024 * 1024  # below the largest message Kafka takes, headers included


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What a run of bytes holds."""

    payloads: tuple[bytes, ...]
    end: int  # where the last whole frame ends
    is_damaged: bool  # what follows can never become a frame, however much is appended


def frame(payload: bytes) -> bytes:
    """One record as it stands in the file; an empty one could not be told from a hole in the file."""
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(data: bytes, *, start: int = 0) -> Frames:
    """All whole frames from `start` on."""
    payloads: list[bytes] = []
    at = start
    while at + HEADER_BYTES <= len(data):
        size, checksum = _HEADER.unpack_from(data, at)
        # Zeros are what a file system leaves where it had given room to bytes that never came.
        if not 0 < size <= MAX_PAYLOAD_BYTES:
            return Frames(payloads=tuple(payloads), end=at, is_damaged=True)
        begin = at + HEADER_BYTES
        if begin + size > len(data):
            break
        payload = data[begin : begin + size]
        if zlib.crc32(payload) != checksum:
            return Frames(payloads=tuple(payloads), end=at, is_damaged=True)
        payloads.append(payload)
        at = begin + size
    return Frames(payloads=tuple(payloads), end=at, is_damaged=False)


def find_frame(data: bytes, mark: bytes, *, start: int) -> int | None:
    """Where the next whole frame begins, at `start` or behind it; None where there is none.

    Args:
        data: Bytes that are spoiled at `start`.
        mark: What every payload begins with: only such places are tried.
        start: Where to begin.
    """
    at = data.find(mark, start + HEADER_BYTES)
    while at >= 0:
        begin = at - HEADER_BYTES
        size, checksum = _HEADER.unpack_from(data, begin)
        if 0 < size <= len(data) - at and zlib.crc32(data[at : at + size]) == checksum:
            return begin
        at = data.find(mark, at + 1)
    return None


def sound_end(data: bytes, mark: bytes) -> int:
    """Where the last whole frame ends: what follows is torn, what is spoiled before it is not looked at."""
    end = read_frames(data).end
    while (begin := find_frame(data, mark, start=end)) is not None:
        end = read_frames(data, start=begin).end
    return end
