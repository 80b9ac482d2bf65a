"""One writer at a time: a row in the database that must be renewed."""

import asyncio
import logging
from typing import Final

from services.rollout import metrics
from services.rollout.store import Fenced, Store, Writer
from slipway.errors import SlipwayError
from slipway.pauses import pause

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5


class Lease:
    """Takes the lease when it is free, renews it, gives it back at the end.

    A process that loses it ends: its supervisor starts a clean standby, and no half-old state stays.
    """

    def __init__(self, store: Store, *, holder: str, lease_s: float) -> None:
        self._store = store
        self._holder = holder
        self._lease_s = lease_s
        self.taken: asyncio.Future[Writer] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the lease until `stop` is set.

        Raises:
            Fenced: Another process took it.
        """
        writer: Writer | None = None
        while not stop.is_set():
            try:
                writer = await self._take_or_renew(writer)
            except Fenced:
                raise
            except SlipwayError as error:
                log.warning("the lease must wait: %s", error)
            await pause(stop, _LOOK_S if writer is None else self._lease_s / 3)
        if writer:
            await self._release(writer)

    async def _take_or_renew(self, writer: Writer | None) -> Writer | None:
        if writer is not None:
            await self._store.renew_lease(writer, lease_s=self._lease_s)
            return writer
        taken = await self._store.take_lease(self._holder, lease_s=self._lease_s)
        if taken is not None:
            log.info("leading", extra={"holder": taken.holder, "fence": taken.fence})
            metrics.LEASE_HELD.set(1)
            self.taken.set_result(taken)
        return taken

    async def _release(self, writer: Writer) -> None:
        metrics.LEASE_HELD.set(0)
        try:
            await self._store.release_lease(writer)
        except SlipwayError as error:
            log.warning("the lease runs out by itself: %s", error)
