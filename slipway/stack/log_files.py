"""Reads the parts' logs: the last lines, and new ones as they come."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 64 * 1024
_POLL_S: Final = 0.2


def last_lines(path: Path, count: int, *, since_byte: int = 0) -> list[str]:
    """The last lines of a log.

    Args:
        path: The log; a missing one has no lines.
        count: How many lines at most.
        since_byte: Skip what was written before this size, unless the log was rotated since.
    """
    if count <= 0 or not path.is_file():
        return []
    with path.open("rb") as file:
        end = file.seek(0, 2)
        start = since_byte if since_byte <= end else 0
        position, data = end, b""
        while position > start and data.count(b"\n") <= count:
            step = min(_BLOCK_BYTES, position - start)
            position -= step
            file.seek(position)
            data = file.read(step) + data
    return data.decode(errors="replace").splitlines()[-count:]


def size_bytes(path: Path) -> int:
    """The size of a log; 0 while there is none."""
    return path.stat().st_size if path.is_file() else 0


def follow(path: Path) -> Iterator[str]:
    """New lines of a log for ever, across rotations."""
    position = size_bytes(path)
    while True:
        size = size_bytes(path)
        if size < position:
            position = 0
        if size == position:
            time.sleep(_POLL_S)
            continue
        with path.open("rb") as file:
            file.seek(position)
            data = file.read(size - position)
        # An unfinished line waits for its end, or it would be printed in two.
        complete = data.rfind(b"\n") + 1
        position += complete
        if not complete:
            time.sleep(_POLL_S)
        yield from data[:complete].decode(errors="replace").splitlines()
