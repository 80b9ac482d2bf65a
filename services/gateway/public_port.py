"""What the public gRPC port puts up with: bounds for connections that nobody has vouched for."""

from typing import Final

from services.gateway.settings import Settings

_STREAMS: Final = 1024  # of one connection, so that no connection can hold all there are
_METADATA_BYTES: Final = 16 * 1024  # a key, a trace context and room to spare
_FASTEST_PINGS_S: Final = 5  # a client that asks for signs of life more often is sent away


def public_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Options of the gRPC server.

    A half-open connection answers no keepalive and is closed. A sender that trickles, or opens streams and
    never ends them, is alive: only the age of its connection stops it.
    """
    keepalive_ms = _milliseconds(settings.keepalive_s)
    return (
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        # Above the first bound some requests are refused, above the second all.
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(_FASTEST_PINGS_S)),
        ("grpc.max_connection_age_ms", _milliseconds(settings.connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.connection_grace_s)),
    )


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
