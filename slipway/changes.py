"""Waiting for something to change, without polling fast and without losing a change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

_CANCEL_S: Final = 2.0


class Changes:
    """A growing revision that can be waited on."""

    def __init__(self) -> None:
        self.revision = 0
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Say that something changed."""
        self.revision += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait_beyond(self, revision: int, *, timeout_s: float) -> int:
        """Wait until the revision is above the given one or the time is over; returns the present one."""
        if self.revision == revision:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._event.wait()
            except TimeoutError:
                pass
        return self.revision


@asynccontextmanager
async def waking(changes: Changes, stop: asyncio.Event) -> AsyncIterator[None]:
    """Let `stop` end a wait for changes inside the block, so that nobody sleeps into the shutdown."""

    async def wake() -> None:
        await stop.wait()
        changes.notify()

    waker = asyncio.ensure_future(wake())
    try:
        yield
    finally:
        waker.cancel()


async def until(stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until it ends or `stop` is set; then it is cancelled: for loops with nothing to drain."""
    running = asyncio.ensure_future(work())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=_CANCEL_S)
    if running.done() and not running.cancelled():
        running.result()
