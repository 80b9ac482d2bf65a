"""Ships what gateways of this machine left behind and do not come back for: fewer workers, a stand-in."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.gateway.gaps import FILE as GAPS_FILE
from services.gateway.gaps import Gaps
from services.gateway.settings import Settings
from services.gateway.shipper import Shipper
from services.gateway.spool import Spool
from services.gateway.worker import LOCK, try_lock
from slipway.clock import SystemClock
from slipway.errors import SlipwayError

log = logging.getLogger(__name__)

_LOOK_S: Final = 5.0
_LEFT_S: Final = 10.0  # a restart takes less
_SESSION_S: Final = 10.0  # its owner may want it back
_PAUSE_S: Final = 300.0  # after a failure
_POLL_S: Final = 0.1


class Adoption:
    """Looks after the state directories beside our own.

    A directory whose lock nobody holds for a while has no owner. We hold it while we ship, so that no two do,
    and give it back after some seconds: an owner that starts waits for it.
    """

    def __init__(self, settings: Settings, *, predictions: str, others: tuple[str, ...]) -> None:
        """Name the spools; beside that of predictions stands what was answered without a record."""
        self._settings = settings
        self._predictions = predictions
        self._spools = (predictions, *others)
        self._folder = Path(settings.adopt_from)
        self._left_since_s: dict[Path, float] = {}
        self._emptied: dict[Path, int] = {}  # the lock's time stamp, which an owner renews

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and then until `stop` is set."""
        while not stop.is_set():
            for lock in sorted(self._folder.glob(f"*/{LOCK}")):
                if lock.parent != self._settings.state_dir and not stop.is_set():
                    await self._look(lock, stop)
            await _wait(stop, _LOOK_S)

    async def _look(self, lock: Path, stop: asyncio.Event) -> None:
        renewed_ns = _renewed_ns(lock)
        if self._emptied.get(lock) == renewed_ns:
            return
        with _taken(lock) as is_ours:
            if not is_ours:
                self._left_since_s.pop(lock, None)
                return
            now_s = asyncio.get_running_loop().time()
            if now_s - self._left_since_s.setdefault(lock, now_s) < _LEFT_S:
                return
            try:
                left = [await self._ship(folder, stop) for folder in _folders(lock.parent, self._spools)]
            except (OSError, ValueError, SlipwayError) as error:
                # What others left must not end what this gateway does.
                log.warning("%s cannot be shipped, and stays: %r", lock.parent, error)
                self._left_since_s[lock] = now_s + _PAUSE_S
                return
            if not any(left):
                self._emptied[lock] = renewed_ns

    async def _ship(self, folder: Path, stop: asyncio.Event) -> int:
        """Ship a spool for some seconds; returns the bytes that are left."""
        settings = self._settings
        spool = Spool(folder, limit_bytes=settings.spool_limit_bytes, segment_bytes=settings.segment_bytes)
        spool.name = f"adopted_{spool.name}"  # its gauges are not our own
        try:
            if folder.name == self._predictions:
                await Gaps(folder.parent / GAPS_FILE, spool, clock=SystemClock()).tell()
            if spool.backlog_bytes:
                log.info("shipping what was left", extra={"path": str(folder), "bytes": spool.backlog_bytes})
                await _ship_for_a_while(spool, settings.kafka_bootstrap, stop)
            return spool.backlog_bytes
        finally:
            spool.close()


async def _ship_for_a_while(spool: Spool, bootstrap: str, stop: asyncio.Event) -> None:
    enough = asyncio.Event()
    shipping = asyncio.ensure_future(Shipper(spool, bootstrap).run(enough))
    for _ in range(round(_SESSION_S / _POLL_S)):
        if stop.is_set() or shipping.done() or not spool.backlog_bytes:
            break
        await _wait(stop, _POLL_S)
    enough.set()
    await shipping


def _renewed_ns(lock: Path) -> int:
    return lock.stat().st_mtime_ns


def _folders(state_dir: Path, names: tuple[str, ...]) -> list[Path]:
    return [state_dir / name for name in names if (state_dir / name).is_dir()]


@contextmanager
def _taken(lock: Path) -> Iterator[bool]:
    with lock.open("rb") as file:
        yield try_lock(file.fileno())


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    await asyncio.wait([stopping := asyncio.ensure_future(stop.wait())], timeout=seconds)
    stopping.cancel()
