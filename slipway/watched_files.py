"""Files that people edit while services run: read again when they change, the last good ones kept."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from slipway.errors import InvalidInput
from slipway.pauses import pause

log = logging.getLogger(__name__)

T = TypeVar("T")
Files = Mapping[str, bytes]  # by their paths relative to the folder, in order

_LOOK_S: Final = 1.0
_MOST_BYTES: Final = 4 * 1024 * 1024


class WatchedFiles(Generic[T]):
    """What the files of one folder mean right now.

    Attributes:
        current: What the last files that made sense mean.
        digest: SHA-256 over the names and bytes of these files, hex.
        problem: Why the present files are not in force; empty while they are.
    """

    def __init__(self, folder: Path, patterns: tuple[str, ...], *, parse: Callable[[Files], T]) -> None:
        """Read the files now; a folder or a pattern without files is an empty mapping.

        Args:
            folder: Where they are.
            patterns: Globs relative to it, e.g. `policies/*.cedar`.
            parse: What they mean; raises InvalidInput for what may not be in force.
        Raises:
            InvalidInput: They make no sense. A service that has no good files to go on with must not start.
        """
        self._folder = folder
        self._patterns = patterns
        self._parse = parse
        files = self._read()
        self.current = parse(files)
        self.digest = self._seen = digest_of(files)
        self.problem = ""

    def look(self) -> bool:
        """Read again if anything changed; returns whether something new is in force."""
        try:
            files = self._read()
            found = digest_of(files)
            if found == self._seen:
                return False
            self._seen = found
            self.current, self.digest, self.problem = self._parse(files), found, ""
        except InvalidInput as error:
            self.problem = str(error)
            log.error("files in %s are not in force, the last good ones stay: %s", self._folder, error)
            return False
        log.info("files in %s changed", self._folder, extra={"digest": self.digest})
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a second until told to stop."""
        while not stop.is_set():
            self.look()
            await pause(stop, _LOOK_S)

    def _read(self) -> dict[str, bytes]:
        paths = sorted({path for pattern in self._patterns for path in self._folder.glob(pattern)})
        try:
            files = {
                str(path.relative_to(self._folder)): path.read_bytes() for path in paths if path.is_file()
            }
        except OSError as error:
            raise InvalidInput(f"cannot read {error.filename}: {error.strerror}") from error
        if sum(map(len, files.values())) > _MOST_BYTES:
            raise InvalidInput(f"the files in {self._folder} have over {_MOST_BYTES} bytes together")
        return files


def digest_of(files: Files) -> str:
    """SHA-256 over names and bytes, hex."""
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{len(name.encode())}:{name}:{len(content)}:".encode() + content)
    return whole.hexdigest()
