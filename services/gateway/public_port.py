"""What the public gRPC port puts up with: bounds for connections that nobody has vouched for."""

from typing import Final

from services.gateway.settings import Settings

# Of the whole process, begun or not: one that never comes to its end takes about 20 KB until then.
MOST_CALLS: Final = 32_768
_STREAMS: Final = 1024  # of one connection, so that no connection can hold all there are
_CONNECTIONS: Final = 4096
_PENDING: Final = 32 * _STREAMS
_METADATA_BYTES: Final = 16 * 1024  # a key, a trace context and room to spare
_FASTEST_PINGS_S: Final = 5  # a client that asks for signs of life more often is sent away


def public_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Options of the gRPC server.

    A half-open connection answers no keepalive and is closed. So is one that has not said by then that it
    speaks HTTP/2. A sender that trickles, or opens streams and never ends them, is alive: only the age of its
    connection stops it.
    """
    keepalive_ms = _milliseconds(settings.keepalive_s)
    return (
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_allowed_incoming_connections", _CONNECTIONS),
        # Of calls that the event loop has not seen yet: a burst of one caller fails nobody else's.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        # Above the first bound some requests are refused, above the second all.
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.ping_timeout_ms", keepalive_ms),  # a minute unless told, whatever the line above says
        ("grpc.server_handshake_timeout_ms", keepalive_ms),  # two minutes unless told
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(_FASTEST_PINGS_S)),
        *age_options(settings),
    )


def age_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """How long a connection lasts, and calls beyond it."""
    return (
        ("grpc.max_connection_age_ms", _milliseconds(settings.connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.connection_grace_s)),
    )


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
