"""HTTP in every service: /healthz, /readyz, /metrics, and whatever routes the service adds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from math import ceil
from typing import Any, Final

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from slipway import errors
from slipway.errors import SlipwayError

STATUS: Final[dict[type[SlipwayError], int]] = {
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
    """`Retry-After` in whole seconds, where an error knows when to try again."""
    if isinstance(error, errors.Overloaded) and error.retry_after_s is not None:
        return {"retry-after": str(ceil(error.retry_after_s))}
    return {}


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


@asynccontextmanager
async def serving(app: FastAPI, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve an app in this event loop; at the end, let requests in flight finish."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(), name=f"http:{port}")
    try:
        while not server.started:
            if task.done():
                raise errors.Unavailable(f"cannot listen on {host}:{port}; is another process using it?")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        with suppress(SystemExit):
            await task


class _Server(uvicorn.Server):
    """Leaves the process's signals to `slipway.process`."""

    def capture_signals(self) -> Any:
        """Do nothing."""
        return nullcontext()
