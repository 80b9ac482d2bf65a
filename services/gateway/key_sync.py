"""Keeps the keys in memory equal to the table, and tells the other services: a revocation counts within two
seconds, everywhere."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from services.gateway.key_news import KeyNews
from services.gateway.store import KeyStore
from slipway.changes import until
from slipway.errors import Unavailable
from slipway.identity.key_book import KeyBook
from slipway.postgres import FAILURES, pool

log = logging.getLogger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOOK_S: Final = 1.0
KNOWN_TO_ALL_S: Final = 1.5  # after which all gateways have looked


class KeySync:
    """Watches the table; while PostgreSQL is away the last known keys stay in force."""

    def __init__(self, dsn: str, store: KeyStore, *, book: KeyBook, news: KeyNews) -> None:
        self._dsn = dsn
        self._store = store
        self._book = book
        self._news = news
        self._mark: int | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the table until `stop` is set."""
        await until(stop, self._follow)

    @property
    def is_synced(self) -> bool:
        """Whether the keys have been read from the table since the start."""
        return self._mark is not None

    async def refresh(self) -> None:
        """Load the keys if anything changed, and let others know.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        mark = await self._store.mark()
        if mark != self._mark:
            self._book.replace(await self._store.keys_in_force())
            self._mark = mark
            self._news.wake()

    async def _follow(self) -> None:
        while True:
            try:
                async with pool(self._dsn, migrations=MIGRATIONS) as connections:
                    self._store.attach(connections)
                    await self._look_forever()
            except FAILURES as error:
                log.warning("PostgreSQL refused the gateway: %r", error)
            finally:
                self._store.attach(None)
            await asyncio.sleep(_LOOK_S)

    async def _look_forever(self) -> None:
        while True:
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("API keys stay as they are: %s", error)
            await asyncio.sleep(_LOOK_S)
