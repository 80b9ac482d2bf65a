"""HTTP in every service: /healthz, /readyz, /metrics, and whatever routes the service adds."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, nullcontext, suppress
from math import ceil
from typing import Any, Final

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Route

from slipway import errors
from slipway.errors import SlipwayError
from slipway.http_protocol import BoundedProtocol
from slipway.listening import open_listener
from slipway.tls import ServerTls

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_KEEP_ALIVE_S: Final = 75  # longer than clients and load balancers keep a connection that they may use again


class TooLarge(errors.InvalidInput):
    """The body is larger than is taken."""


class UnsupportedEncoding(errors.InvalidInput):
    """The body is compressed in a way that is not known here."""


STATUS: Final[dict[type[SlipwayError], int]] = {
    TooLarge: 413,
    UnsupportedEncoding: 415,
    errors.InvalidInput: 400,
    errors.Unauthenticated: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Overloaded: 429,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
}


def status_of(error: SlipwayError) -> int:
    """The HTTP status of an error, or of the nearest kind that it is a kind of."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def retry_headers(error: SlipwayError) -> dict[str, str]:
    """`Retry-After` in whole seconds, at least one, where an error knows it; and what else it tells."""
    if error.retry_after_s is not None:
        return {"retry-after": str(max(1, ceil(error.retry_after_s))), **dict(error.fields)}
    return dict(error.fields)


def offered(app: FastAPI) -> list[str]:
    """Every way into an application, as `GET /path/{of}/it`."""
    routes = [route for route in app.routes if isinstance(route, Route)]
    return [
        f"{method} {route.path}" for route in routes for method in (route.methods or ()) if method != "HEAD"
    ]


def application(title: str, *, not_ready: Callable[[], list[str]]) -> FastAPI:
    """An app with the operator's three pages and one error table.

    Args:
        title: Name of the service.
        not_ready: What is still missing; empty when the service can work.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        """The process can work; else 503 and what it waits for."""
        missing = not_ready()
        response.status_code = 503 if missing else 200
        return {"ready": not missing, "waiting_for": missing}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(SlipwayError)
    async def translate(_request: Request, error: SlipwayError) -> Response:
        return Response(
            orjson.dumps({"error": str(error)}),
            status_code=status_of(error),
            headers=retry_headers(error),
            media_type="application/json",
        )

    return app


class Front:
    """Sends a request to one of several applications by the first word of its path."""

    def __init__(self, rest: Asgi) -> None:
        self._rest = rest
        self._mounted: dict[str, Asgi] = {}

    def mount(self, word: str, app: Asgi) -> None:
        """Let `app` answer /word and all below it; it sees the whole path."""
        self._mounted[word] = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand on; there is no layer of our own around what is mounted."""
        app = self._mounted.get(scope["path"][1:].partition("/")[0], self._rest)
        return app(scope, receive, send)


async def starting(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Stands where an application will be mounted: the port is open before the service can work."""
    await refuse(send, errors.Unavailable("the service is starting; try again in a moment", retry_after_s=1))


async def refuse(send: Send, error: SlipwayError) -> None:
    """Answer with an error from outside of any framework."""
    body = orjson.dumps({"error": str(error)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in retry_headers(error).items()]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Serving:
    """An HTTP server at work."""

    def __init__(self, server: "_Server", task: "asyncio.Task[None]") -> None:
        self._server = server
        self._task = task

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def close_listener(self) -> None:
        """Take no new connection."""
        for listener in self._server.servers:
            listener.close()

    def say_goodbye(self) -> None:
        """Tell every client with its next answer that its connection ends there."""
        goodbye = (b"connection", b"close")
        self._server.config.encoded_headers.append(goodbye)
        state = self._server.server_state
        state.default_headers = [*state.default_headers, goodbye]
        for connection in state.connections:
            if isinstance(connection, BoundedProtocol):
                connection.say_goodbye()

    async def stop(self) -> None:
        """Let requests in flight finish, and close all connections."""
        self._server.should_exit = True
        with suppress(SystemExit):
            await self._task


@asynccontextmanager
async def serving(
    app: Asgi, *, host: str, port: int, is_shared: bool = False, tls: ServerTls | None = None
) -> AsyncIterator[Serving]:
    """Serve an app in this event loop; with `is_shared` beside other processes on the same port."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        **_tls_options(tls),
    )
    try:
        listener = open_listener(host, port, is_shared=is_shared)
    except OSError as error:
        raise errors.Unavailable(
            f"cannot listen on {host}:{port} ({error}); is another process using it?"
        ) from error
    server = _Server(config)
    it = Serving(server, asyncio.create_task(server.serve([listener]), name=f"http:{port}"))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield it
    finally:
        await it.stop()


def _tls_options(tls: ServerTls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    options: dict[str, Any] = {"ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file or None}
    if tls.client_ca:
        options |= {"ssl_ca_certs": tls.client_ca, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


class _Server(uvicorn.Server):
    """Leaves the process's signals to `slipway.process`."""

    def capture_signals(self) -> Any:
        """Do nothing."""
        return nullcontext()
