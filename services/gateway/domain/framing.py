"""Records in a file that a crash may have torn: length, CRC-32, bytes."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

_HEADER: Final = struct.Struct("<II")
MAX_PAYLOAD_BYTES: Final = 7 * 1024 * 1024  # below the largest message Kafka takes, headers included


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What a run of bytes holds."""

    payloads: tuple[bytes, ...]
    end: int  # where the last whole frame ends
    is_damaged: bool  # what follows can never become a frame, however much is appended


def frame(payload: bytes) -> bytes:
    """One record as it stands in the file."""
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(data: bytes, *, start: int = 0) -> Frames:
    """All whole frames from `start` on."""
    payloads: list[bytes] = []
    at = start
    while at + _HEADER.size <= len(data):
        size, checksum = _HEADER.unpack_from(data, at)
        if size > MAX_PAYLOAD_BYTES:
            return Frames(payloads=tuple(payloads), end=at, is_damaged=True)
        begin = at + _HEADER.size
        if begin + size > len(data):
            break
        payload = data[begin : begin + size]
        if zlib.crc32(payload) != checksum:
            return Frames(payloads=tuple(payloads), end=at, is_damaged=True)
        payloads.append(payload)
        at = begin + size
    return Frames(payloads=tuple(payloads), end=at, is_damaged=False)
