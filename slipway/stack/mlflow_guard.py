"""A password before MLflow's server.

MLflow's own `basic-auth` app keeps users and permissions in a database of its own. There is one user here.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from slipway.mlflow_rest import USER

_CHALLENGE: Final = ((b"www-authenticate", b'Basic realm="MLflow"'), (b"content-length", b"0"))

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Guarded:
    """Lets in who knows the password."""

    def __init__(self, inner: Callable[[Scope, Receive, Send], Awaitable[None]], *, password: str) -> None:
        self._inner = inner
        self._expected = b"Basic " + base64.b64encode(f"{USER}:{password}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or ask for the password."""
        if scope["type"] == "lifespan" or self._is_known(scope):
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 401, "headers": list(_CHALLENGE)})
            await send({"type": "http.response.body"})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)
