"""What a process knew last, on disk: so that it starts while those who told it are away."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway.changes import Changes, waking

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole, readable by its owner alone; a crash leaves the old or the new one."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One file that follows one thing that changes."""

    path: Path
    changes: Changes
    dump: Callable[[], bytes | None]  # None: not worth keeping yet

    async def keep(self, stop: asyncio.Event) -> None:
        """Write after each change, and once more at the end."""
        written = -1
        async with waking(self.changes, stop):
            while not stop.is_set():
                revision = self.changes.revision
                written = await self._write(written)
                await self.changes.wait_beyond(revision, timeout_s=_LOOK_S)
        await self._write(written)

    async def _write(self, written: int) -> int:
        revision = self.changes.revision
        data = self.dump() if revision != written else None
        if data is None:
            return revision  # seen: only the next change is worth another look
        try:
            await asyncio.to_thread(write_atomically, self.path, data)
        except OSError as error:
            log.warning("snapshot not written", extra={"path": str(self.path), "error": repr(error)})
            await asyncio.sleep(_LOOK_S)
            return written
        return revision
