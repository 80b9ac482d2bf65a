"""One POST to a receiver: no redirects, and only to addresses that the operator allows."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from slipway.callback_urls import CallbackPolicy
from slipway.errors import Denied, Unavailable

_AGENT: Final = "slipway-callback/1"


class CheckedResolver(AbstractResolver):
    """Looks names up, and refuses those that lead where no callback may go.

    The connection is made to the very addresses that were checked: a name cannot change in between.
    """

    def __init__(self, policy: CallbackPolicy) -> None:
        self._policy = policy
        self._resolver: AbstractResolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, all of them allowed.

        Raises:
            OSError: One is not.
        """
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            if not self._policy.allows_address(result["host"]):
                problem = f"{host} leads to {result['host']}, which callbacks may not reach"
                raise OSError(errno.EACCES, problem)
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class CallbackHttp:
    """Posts bodies."""

    def __init__(self, session: ClientSession, policy: CallbackPolicy) -> None:
        self._session = session
        self._policy = policy

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Deliver a body.

        Raises:
            Denied: The URL is not, or not any more, one that callbacks may go to.
            Unavailable: The receiver did not say 2xx in time.
        """
        self._check_literal(url)
        sent = {"content-type": "application/json", "user-agent": _AGENT, **headers}
        try:
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=sent, allow_redirects=False
            ) as answer:
                status = answer.status
        except (TimeoutError, ClientError, OSError, ValueError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}"[:300]) from error
        if not 200 <= status < 300:
            about = ": redirects are not followed" if 300 <= status < 400 else ""
            raise Unavailable(f"the receiver answered {status}{about}")

    def _check_literal(self, url: str) -> None:
        """An address in the URL itself is looked up nowhere, so it is checked here."""
        host = URL(url, encoded=True).host or ""
        try:
            ip_address(host)
        except ValueError:
            return
        if not self._policy.allows_address(host):
            raise Denied(f"{host} is an address that callbacks may not reach")


@asynccontextmanager
async def callback_http(
    policy: CallbackPolicy, *, timeout_s: float, parallel: int
) -> AsyncIterator[CallbackHttp]:
    """A session that keeps nothing between two posts: no connections, cookies, names or proxies."""
    connector = TCPConnector(
        resolver=CheckedResolver(policy), limit=parallel, force_close=True, use_dns_cache=False
    )
    options: dict[str, Any] = {"timeout": ClientTimeout(total=timeout_s), "trust_env": False}
    async with ClientSession(connector=connector, **options) as session:
        yield CallbackHttp(session, policy)
