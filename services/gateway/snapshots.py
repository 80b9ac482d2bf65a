"""Snapshots of several messages: a file of frames, each with its own checksum."""

import logging
from collections.abc import Iterable
from pathlib import Path

from services.gateway.domain.framing import frame, read_frames
from slipway.snapshots import write_atomically

log = logging.getLogger(__name__)


def write_messages(path: Path, messages: Iterable[bytes]) -> None:
    """Keep serialized messages in one file."""
    write_atomically(path, b"".join(frame(message) for message in messages))


def read_messages(path: Path) -> tuple[bytes, ...] | None:
    """What `write_messages` kept; None where there is no file or it is not whole."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    frames = read_frames(data)
    if frames.end != len(data):
        log.warning("snapshot is damaged and left aside", extra={"path": str(path), "good_bytes": frames.end})
        return None
    return frames.payloads
