"""Who calls a gRPC server, asked before a byte of the request is parsed."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from slipway import rpc
from slipway.errors import InvalidInput, SlipwayError
from slipway.identity.caller import Caller
from slipway.identity.credentials import Credentials, of_call

_OPEN: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")


class Identifier(Protocol):
    """Recognises callers."""

    def identify(self, credentials: Credentials) -> Caller:
        """Whom credentials belong to."""
        ...


class Callers(grpc.aio.ServerInterceptor):
    """Lets only known callers in; health and reflection stay open. What they may do is asked behind it.

    `also_open` names services, e.g. "/slipway.v1.ReplicaDesk/", that check their callers themselves.
    """

    def __init__(self, authenticator: Identifier, *, also_open: tuple[str, ...] = ()) -> None:
        self._authenticator = authenticator
        self._open = _OPEN + also_open

    async def intercept_service(
        self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails
    ) -> Any:
        """Put the question in front of the handler, where the connection's certificate is to be seen."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(self._open):
            return handler
        return _Guarded(self, handler, details.method).handler()

    async def admit(self, context: Any) -> None:
        """Identify the caller, and end the call where he is nobody."""
        try:
            who = self._authenticator.identify(of_call(context))
        except SlipwayError as error:
            await context.abort(rpc.status_of(error), str(error), rpc.retry_metadata(error))
        rpc.remember_caller(who)


class _Guarded:
    """One method behind the question who calls. Requests stay bytes until it is answered."""

    def __init__(self, callers: Callers, handler: Any, method: str) -> None:
        self._callers = callers
        self._handler = handler
        self._method = method

    def handler(self) -> Any:
        """What the server calls."""
        it = self._handler
        if it.request_streaming:  # each message is parsed when it is asked for, which is after the answer
            make, call = (
                (grpc.stream_stream_rpc_method_handler, self._stream)
                if it.response_streaming
                else (grpc.stream_unary_rpc_method_handler, self._unary)
            )
            return make(call, it.request_deserializer, it.response_serializer)
        if it.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream, None, it.response_serializer)
        return grpc.unary_unary_rpc_method_handler(self._unary, None, it.response_serializer)

    async def _unary(self, request: Any, context: Any) -> Any:
        await self._callers.admit(context)
        call = self._handler.unary_unary or self._handler.stream_unary
        return await call(await self._parsed(request, context), context)

    async def _stream(self, request: Any, context: Any) -> Any:
        await self._callers.admit(context)
        call = self._handler.unary_stream or self._handler.stream_stream
        async for answer in call(await self._parsed(request, context), context):
            yield answer

    async def _parsed(self, request: Any, context: Any) -> Any:
        if self._handler.request_streaming or self._handler.request_deserializer is None:
            return request
        try:
            return self._handler.request_deserializer(request)
        except DecodeError as error:
            problem = InvalidInput(f"the bytes are not a request of {self._method}: {error}")
            await context.abort(rpc.status_of(problem), str(problem))
