"""gRPC between services: one server set-up, one error table, one way to call a neighbour."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from math import ceil
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from slipway import errors
from slipway.errors import SlipwayError
from slipway.identity.caller import Caller
from slipway.policy.routes import check_service
from slipway.tls import ServerTls, parse_target

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
OPERATOR_TOKEN_FILE: Final = "operator.token"

STATUS: Final[dict[type[SlipwayError], grpc.StatusCode]] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Denied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_ERROR_OF_STATUS: Final = {code: kind for kind, code in STATUS.items()}


def status_of(error: SlipwayError) -> grpc.StatusCode:
    """The gRPC code of an error, or of the nearest kind that it is a kind of."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), grpc.StatusCode.INTERNAL)


def retry_metadata(error: SlipwayError) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that says when to try again, where an error knows, and what else it tells.

    `retry-after-ms` is for people and plain clients; `grpc-retry-pushback-ms` is what gRPC clients with a
    retry policy obey by themselves (gRFC A6).
    """
    if error.retry_after_s is not None:
        milliseconds = str(ceil(error.retry_after_s * 1000))
        return (
            ("retry-after-ms", milliseconds),
            ("grpc-retry-pushback-ms", milliseconds),
            *error.fields,
        )
    return error.fields


@asynccontextmanager
async def aborting(context: Any) -> AsyncIterator[None]:
    """Turn a SlipwayError inside the block into the RPC's status."""
    try:
        yield
    except SlipwayError as error:
        await context.abort(status_of(error), str(error), retry_metadata(error))


@contextmanager
def translating(what: str) -> Iterator[None]:
    """Turn a failed call to a neighbour into a SlipwayError: `with translating("rollout"): await stub...`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        kind = _ERROR_OF_STATUS.get(error.code(), errors.Unavailable)
        raise kind(f"{what}: {error.details()}") from error


_CALLER: Final[ContextVar[Caller]] = ContextVar("slipway_rpc_caller")


def caller(_context: Any) -> Caller:
    """Who makes the call that is being answered; each call has a task, and so a variable, of its own.

    Raises:
        Unauthenticated: The server identifies nobody.
    """
    try:
        return _CALLER.get()
    except LookupError as error:
        raise errors.Unauthenticated("this server does not know its callers") from error


def remember_caller(who: Caller) -> None:
    """Let `caller` say who makes this call."""
    _CALLER.set(who)


class RpcServer:
    """A grpc.aio server with health and reflection; `ready` is what the health service says."""

    def __init__(
        self,
        *,
        interceptors: tuple[Any, ...] = (),
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_calls: int | None = None,
        options: Sequence[tuple[str, int]] = (),
        is_shared: bool = False,
    ) -> None:
        """Args beyond those of gRPC: `is_shared` lets other processes listen on the same port, too."""
        self.server = grpc.aio.server(
            interceptors=interceptors,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.so_reuseport", int(is_shared)),
                *options,
            ],
            maximum_concurrent_rpcs=max_calls,
        )
        self.health = health.aio.HealthServicer()
        self._names = [health.SERVICE_NAME, reflection.SERVICE_NAME]
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)

    def add(self, register: Callable[[Any, Any], None], servicer: object, *, service: str) -> None:
        """Add one service: `add(pb2_grpc.add_XServicer_to_server, servicer, service="slipway.v1.X")`.

        Raises:
            InvalidInput: It has a method for which no permission is named.
        """
        check_service(service)
        register(servicer, self.server)
        self._names.append(service)

    async def set_health(self, name: str, *, is_serving: bool) -> None:
        """Say whether `name` ("" = the whole server) is serving."""
        status = health_pb2.HealthCheckResponse
        await self.health.set(name, status.SERVING if is_serving else status.NOT_SERVING)

    async def say_goodbye(self) -> None:
        """Say NOT_SERVING from now on; calls are still answered."""
        await self.health.enter_graceful_shutdown()

    @asynccontextmanager
    async def serving(
        self, address: str, *, tls: ServerTls | None = None, drain_s: float = 10.0
    ) -> AsyncIterator[None]:
        """Listen on `host:port`; at the end, take nothing new and let calls in flight finish."""
        reflection.enable_server_reflection(self._names, self.server)
        if tls is None:
            self.server.add_insecure_port(address)
        else:
            self.server.add_secure_port(address, tls.grpc())
        await self.server.start()
        await self.set_health("", is_serving=True)
        try:
            yield
        finally:
            await self.say_goodbye()
            await self.server.stop(drain_s)


@asynccontextmanager
async def channel(target: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a neighbour, as `slipway.tls.parse_target` reads it; give every call on it a `timeout`."""
    options = [
        ("grpc.max_receive_message_length", 16 * MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    neighbour = parse_target(target)
    if neighbour.is_encrypted:
        made = grpc.aio.secure_channel(neighbour.address, neighbour.grpc(), options=options)
    else:
        made = grpc.aio.insecure_channel(neighbour.address, options=options)
    async with made as it:
        yield it


def operator_metadata(token: str) -> tuple[tuple[str, str], ...]:
    """Call metadata that carries the operator's token."""
    return (("authorization", f"Bearer {token}"),)
