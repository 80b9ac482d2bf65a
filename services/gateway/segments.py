"""The files of a spool: numbered segments, the torn tail of the newest, and what a disk has spoiled."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from services.gateway.domain.framing import sound_end

log = logging.getLogger(__name__)

_SUFFIX: Final = ".segment"
_DAMAGED: Final = ".damaged"
MARK: Final = b'["'  # what every packed record begins with
_MOST_DAMAGED: Final = 64  # files of spoiled bytes that are kept


class Segments:
    """A folder of segment files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def sizes(self) -> dict[int, int]:
        """Bytes of each segment, by number in order."""
        numbers = sorted(int(path.stem) for path in self.folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())
        return {number: self.path(number).stat().st_size for number in numbers}

    def path(self, number: int) -> Path:
        """Where a segment is."""
        return self.folder / f"{number:012d}{_SUFFIX}"

    def open(self, number: int) -> int:
        """The descriptor of a segment to be appended to.

        Raises:
            OSError: The disk takes no new file.
        """
        return os.open(self.path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def drop(self, number: int) -> None:
        """Delete a segment that has been shipped."""
        self.path(number).unlink(missing_ok=True)

    def read(self, number: int, size: int, *, offset: int) -> bytes:
        """So many bytes of a segment.

        Raises:
            OSError: The disk does not give them.
        """
        with self.path(number).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)

    def cut_torn_tail(self, number: int) -> int:
        """Cut off what a crash left unfinished at the end of a segment; returns how many bytes.

        Bytes spoiled in the middle stay where they are: whole records stand behind them.
        """
        path = self.path(number)
        data = path.read_bytes()
        end = sound_end(data, MARK)
        if end < len(data):
            log.warning(
                "cut a torn record off a segment", extra={"path": str(path), "bytes": len(data) - end}
            )
            os.truncate(path, end)
        return len(data) - end

    def keep_damaged(self, number: int, data: bytes, *, offset: int) -> None:
        """Keep spoiled bytes for people, as far as there is room; the oldest go first."""
        path = self.folder / f"{number:012d}-{offset}{_DAMAGED}"
        log.error("records are spoiled and cannot be shipped", extra={"path": str(path), "bytes": len(data)})
        try:
            path.write_bytes(data)
        except OSError as error:
            log.error("the spoiled bytes cannot be kept: %r", error)
        for old in sorted(self.folder.glob(f"*{_DAMAGED}"))[:-_MOST_DAMAGED]:
            old.unlink(missing_ok=True)


def sync(paths: Iterable[Path]) -> None:
    """Wait until the disk has all of some files or folders; one that is gone has been shipped.

    Raises:
        OSError: The disk does not confirm it.
    """
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
