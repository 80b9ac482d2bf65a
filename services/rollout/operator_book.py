"""All operators in memory, so that a call asks no database who it comes from."""

import asyncio
import logging
import secrets
from typing import Final

from services.rollout.domain.operator import TOKEN_PREFIX, check_operator, digest_of, who_could
from services.rollout.operator_store import OperatorRow, OperatorStore, names_with_roles
from slipway.clock import Clock
from slipway.errors import Conflict, SlipwayError
from slipway.identity.caller import DEFAULT_TENANT, Caller

log = logging.getLogger(__name__)

# Another process may have revoked somebody: two seconds are promised.
_READ_EVERY_S: Final = 1.0
_TOKEN_BYTES: Final = 32


class OperatorBook:
    """Who opens with which token; read again all the time, and after each change at once."""

    def __init__(self, store: OperatorStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._active: dict[bytes, OperatorRow] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Read again until told to stop. While PostgreSQL is away nobody can be revoked either."""
        while not stop.is_set():
            try:
                await self.read()
            except SlipwayError as error:
                log.warning("operators cannot be read: %s", error)
            try:
                async with asyncio.timeout(_READ_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def read(self) -> None:
        """Take what the table says."""
        self._active = {row.token_sha256: row for row in await self._store.load_active()}

    def identify(self, token: str) -> Caller | None:
        """Whom a token belongs to; None: nobody, or nobody any more."""
        # The key is a digest: how long the look-up takes tells nothing about a token.
        row = self._active.get(digest_of(token)) if token.startswith(TOKEN_PREFIX) else None
        return None if row is None else _caller_of(row)

    def who_could(self, role: str) -> str:
        """Who carries a role, in words."""
        return who_could(role, names_with_roles(list(self._active.values())))

    async def add(self, name: str, roles: list[str], *, actor: str) -> tuple[OperatorRow, str]:
        """Make an operator; returns him and his token, which is kept nowhere.

        Raises:
            InvalidInput: A name or a role that may not be.
            Conflict: The name has a token already.
        """
        token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        row = OperatorRow(
            name=name,
            roles=check_operator(name, roles),
            token_sha256=digest_of(token),
            created_at_s=self._clock.now_s(),
            created_by=actor,
        )
        try:
            await self._store.add(row)
        except Conflict as error:
            raise Conflict(
                f"operator {name!r} has a token already; `slipway operators revoke {name}` takes it back"
            ) from error
        await self.read()
        return row, token

    async def list(self) -> list[OperatorRow]:
        """All operators, revoked ones too."""
        return await self._store.load()

    async def revoke(self, name: str) -> OperatorRow:
        """Take an operator's token back: here at once, in other processes within two seconds.

        Raises:
            NotFound: Nobody of that name has one.
        """
        row = await self._store.revoke(name, now_s=self._clock.now_s())
        await self.read()
        return row


def _caller_of(row: OperatorRow) -> Caller:
    return Caller(principal=row.name, tenant=DEFAULT_TENANT, roles=row.roles, method="operator")
