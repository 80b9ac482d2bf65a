"""The port of a replica: mutual TLS, and of all who have a certificate the gateway alone is answered."""

from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio

from slipway import rpc, tls
from slipway.tls import ServerTls

REFUSED: Final = "a replica answers gateways alone"
_MAX_MESSAGE_BYTES: Final = 16 * rpc.MAX_MESSAGE_BYTES  # gateways send the rows of many calls at once
_MAX_CALLS: Final = 512
_GATEWAY: Final = b"spiffe://slipway/gateway"
_NAMES: Final = "x509_subject_alternative_name"


class OnlyGateways(grpc.aio.ServerInterceptor):
    """Asks each call for the name in its connection's certificate; requests stay bytes until it is told."""

    async def intercept_service(
        self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails
    ) -> Any:
        """Put the question before the handler, which alone sees the connection."""
        handler: Any = await continuation(details)
        if handler is None:
            return None
        answer = handler.unary_unary

        async def guarded(request: bytes, context: Any) -> Any:
            if _GATEWAY not in context.auth_context().get(_NAMES, ()):
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, REFUSED)
            return await answer(handler.request_deserializer(request), context)

        return grpc.unary_unary_rpc_method_handler(guarded, None, handler.response_serializer)


def replica_server(host: str, *, tls_files: ServerTls | None) -> tuple[grpc.aio.Server, str]:
    """A server on a free port of `host`, and where gateways reach it.

    Raises:
        InvalidInput: A certificate's file cannot be read.
    """
    server = grpc.aio.server(
        interceptors=(OnlyGateways(),) if tls_files else (),
        options=[
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=_MAX_CALLS,
    )
    if tls_files is None:
        return server, f"{host}:{server.add_insecure_port(f'{host}:0')}"
    return server, tls.encrypted(f"{host}:{server.add_secure_port(f'{host}:0', tls_files.grpc())}")
