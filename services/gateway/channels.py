"""One gRPC channel for each server; servers die, hang and lose their networks."""

from collections.abc import Collection
from typing import Any, Final

import grpc
import grpc.aio

from slipway.rpc import MAX_MESSAGE_BYTES
from slipway.tls import REPLICA, Target, address_of

_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_CLOSE_GRACE_S: Final = 1.0
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 16 * MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 16 * MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    # A peer that is gone without a word (half-open connection) is noticed while a call waits for it:
    # by TCP, whose time-out for unacknowledged data gRPC sets to the second figure, and by a ping.
    # No pings without calls: servers hang up on clients that ping too much.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
]
# Of all who have a certificate of the authority, only a replica is taken for one.
_OF_REPLICAS: Final = [*_OPTIONS, ("grpc.ssl_target_name_override", REPLICA)]


def replica_credentials(*, cert_file: str, ca_file: str) -> grpc.ChannelCredentials:
    """What a gateway shows to replicas; without files none that speaks TLS is reached.

    Raises:
        InvalidInput: A file cannot be read.
    """
    if not cert_file:
        return grpc.ssl_channel_credentials()
    return Target(address="", ca_file=ca_file, cert_file=cert_file).grpc()


class Channel:
    """A connection to a server, made when it is first used."""

    __slots__ = ("_channel", "in_flight", "infer")

    def __init__(self, target: str, credentials: grpc.ChannelCredentials) -> None:
        address, is_encrypted = address_of(target)
        if is_encrypted:
            self._channel = grpc.aio.secure_channel(address, credentials, options=_OF_REPLICAS)
        else:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self.infer: Any = self._channel.unary_unary(_METHOD)  # bytes to bytes
        self.in_flight = 0

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close(_CLOSE_GRACE_S)


class Channels:
    """The channels in use, and those that only wait for their last calls."""

    def __init__(self, credentials: grpc.ChannelCredentials) -> None:
        """Args: `credentials` are shown to replicas, and say whom to believe that he is one."""
        self._credentials = credentials
        self._open: dict[str, Channel] = {}
        self._retired: list[Channel] = []

    @property
    def targets(self) -> Collection[str]:
        """Servers that have a channel."""
        return self._open.keys()

    def to(self, target: str) -> Channel:
        """The channel to a server."""
        channel = self._open.get(target)
        if channel is None:
            channel = self._open[target] = Channel(target, self._credentials)
        return channel

    def renew(self, target: str) -> None:
        """Let the next call connect anew: the old connection may hang without anybody knowing."""
        channel = self._open.pop(target, None)
        if channel is not None:
            self._retired.append(channel)

    async def close_except(self, targets: Collection[str]) -> None:
        """Close the channels to all other servers, and the retired ones, once their calls have ended."""
        for target in [target for target in self._open if target not in targets]:
            self.renew(target)
        idle = [channel for channel in self._retired if not channel.in_flight]
        self._retired = [channel for channel in self._retired if channel.in_flight]
        for channel in idle:
            await channel.close()
