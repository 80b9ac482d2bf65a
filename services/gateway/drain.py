"""The end of one gateway among others: clients leave it one by one, and none of their calls fails.

gRPC's own way to stop a server cancels the calls that have come and are not begun (grpc/grpc#41785). The age
of a connection ends it without harm: the server says GOAWAY, takes what was under way to it, and the client
connects anew. So the listeners close first, and the server stops when its connections have come of age.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from services.gateway.settings import Settings
from slipway.listening import count_connections, leave
from slipway.rpc import RpcServer
from slipway.web import Serving

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.2
# A client in use asks again within this time and is told that its connection ends; who does not, is idle.
_HTTP_S: Final = 10.0


class Drain:
    """What a gateway does between the signal and its end."""

    def __init__(self, settings: Settings, servers: Sequence[RpcServer]) -> None:
        self._http_port = settings.http_port
        self._grpc_ports = frozenset({settings.grpc_port, settings.admin_port})
        self._limit_s = settings.drain_s
        self._servers = servers

    async def run(self, http: Serving, hurry: asyncio.Event) -> None:
        """Let go of all clients; ends at `hurry`, or when the time is over."""
        for server in self._servers:
            await server.say_goodbye()
        await leave({self._http_port, *self._grpc_ports}, before_close=http.close_listener)
        http.say_goodbye()
        begun_s = asyncio.get_running_loop().time()
        while not hurry.is_set():
            waited_s = asyncio.get_running_loop().time() - begun_s
            http_left = http.connections if waited_s < _HTTP_S else 0
            grpc_left = await count_connections(self._grpc_ports)
            if not http_left and not grpc_left:
                return
            if waited_s >= self._limit_s:
                log.warning("clients stay to the end", extra={"http": http_left, "grpc": grpc_left})
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), _LOOK_S)
