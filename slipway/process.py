"""How a service lives: start in order, work, and at SIGTERM stop in reverse.

async def build(process: Process, settings: Settings) -> None:
    pool = await process.enter(postgres.pool(...))
    process.spawn("consumer", loop.run)
    process.ready_when("consumer", lambda: loop.is_ready)

run("feedback", build, Settings)
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final, TypeVar

import uvloop
from fastapi import FastAPI

from slipway import logs, settings, web
from slipway.errors import InvalidInput
from slipway.policy.routes import check_http
from slipway.settings import ServiceSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound=ServiceSettings)
Loop = Callable[[asyncio.Event], Awaitable[None]]
Drain = Callable[[web.Serving, asyncio.Event], Awaitable[None]]

_DRAIN_S: Final = 10.0


class Process:
    """What a composition root builds on: resources, loops, readiness, an HTTP app."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.app: FastAPI = web.application(name, not_ready=self.not_ready)
        self.front = web.Front(self.app)
        self.failed = asyncio.Event()
        self._stack = AsyncExitStack()
        self._checks: dict[str, Callable[[], bool]] = {}
        self._is_built = False
        self._is_stopping = False
        self._http: web.Serving | None = None
        self._drain: Drain | None = None

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Open a resource now; it is closed after everything that was opened later."""
        return await self._stack.enter_async_context(resource)

    def spawn(self, name: str, loop: Loop) -> None:
        """Run a loop in the background. At the end it is told to stop and given time to drain.

        A loop that fails ends the whole process: its supervisor starts a clean one.
        """
        stop = asyncio.Event()
        task = asyncio.create_task(self._guarded(name, loop, stop), name=name)

        async def drain() -> None:
            stop.set()
            done, _ = await asyncio.wait([task], timeout=_DRAIN_S)
            if not done:
                log.warning("loop %s did not drain in %.0f s", name, _DRAIN_S)
                task.cancel()
                await asyncio.wait([task])

        self._stack.push_async_callback(drain)

    def mount(self, word: str, app: web.Asgi) -> None:
        """Let `app` answer /word on the HTTP port. HTTP then ends before everything opened so far."""
        self.front.mount(word, app)
        if self._http is not None:
            self._stack.push_async_callback(self._http.stop)

    def drain_by(self, drain: Drain) -> None:
        """At a signal, and before anything closes, let `drain` say goodbye to clients.

        It is given the HTTP server and an event that a second signal sets: then it should end at once.
        """
        self._drain = drain

    def ready_when(self, name: str, check: Callable[[], bool]) -> None:
        """Add a condition of /readyz."""
        self._checks[name] = check

    def not_ready(self) -> list[str]:
        """What the service still waits for; that it stops, once it does."""
        if self._is_stopping:
            return ["its end"]
        return self.missing() if self._is_built else ["start", *self.missing()]

    def missing(self) -> list[str]:
        """The conditions that do not hold."""
        return [name for name, check in self._checks.items() if not check()]

    async def run(self, build: Callable[["Process", S], Awaitable[None]], config: S) -> None:
        """Build, work until a signal or a failure, then close everything in reverse."""
        stopping, hurry = asyncio.Event(), asyncio.Event()

        def stop() -> None:
            (hurry if stopping.is_set() else stopping).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        async with self._stack:
            if not config.share_ports:
                await self._open_http(config)
            building = asyncio.ensure_future(build(self, config))
            if await self._first_of(building, stopping):
                await building
                check_http(web.offered(self.app))
                await self._work(config, stopping)
            self._is_stopping = True
            log.info("stopping")
            if self._drain is not None and self._http is not None and not self.failed.is_set():
                await self._drain(self._http, hurry)
        log.info("stopped")

    async def _work(self, config: ServiceSettings, stopping: asyncio.Event) -> None:
        if config.share_ports:
            # Whoever comes to a shared port would be served by another process that is ready.
            await self._open_http(config)
        self._is_built = True
        log.info("ready to work", extra={"http_port": config.http_port, "grpc_port": config.grpc_port})
        await self._first_of(asyncio.ensure_future(self.failed.wait()), stopping)

    async def _open_http(self, config: ServiceSettings) -> None:
        self._http = await self.enter(
            web.serving(
                self.front,
                host=config.host,
                port=config.http_port,
                is_shared=config.share_ports,
                tls=config.public_tls,
            )
        )

    async def _first_of(self, work: "asyncio.Future[Any]", stopping: asyncio.Event) -> bool:
        """Whether the work ended before the signal came; cancels the work otherwise."""
        signalled: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
        done, _ = await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
        for task in {work, signalled} - done:
            task.cancel()
        await asyncio.wait({work, signalled})
        return work in done

    async def _guarded(self, name: str, loop: Loop, stop: asyncio.Event) -> None:
        try:
            await loop(stop)
        except Exception:
            log.exception("loop %s failed", name)
            self.failed.set()


def run(name: str, build: Callable[[Process, S], Awaitable[None]], settings_type: type[S]) -> None:
    """Run one service until SIGTERM; the exit status is 1 after a failure, 2 for bad settings."""
    try:
        config = settings.load(settings_type)
    except InvalidInput as error:
        sys.exit(f"{name}: {error}")
    logs.configure(name, level=config.log_level)
    failed = uvloop.run(_main(name, build, config))
    sys.exit(1 if failed else 0)


async def _main(name: str, build: Callable[[Process, S], Awaitable[None]], config: S) -> bool:
    process = Process(name)
    await process.run(build, config)
    return process.failed.is_set()
