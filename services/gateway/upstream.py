"""Calls to the servers that hold the versions: any server of the Open Inference Protocol."""

import logging
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

import grpc
import grpc.aio

from services.gateway import metrics
from services.gateway.directory import Directory
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm
from slipway.clock import Clock
from slipway.errors import DeadlineExceeded, Overloaded, SlipwayError, Unavailable
from slipway.rpc import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_WAIT_FOR_ENDPOINT_S: Final = 1.0  # routes may be told of a version a moment before the directory lists it
_WAIT_FOR_CHANGE_S: Final = 0.25
_AVOID_S: Final = 1.0
_CLOSE_GRACE_S: Final = 30.0
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 16 * MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 16 * MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
]


class Upstream:
    """One channel for each server; the least busy one that works gets the call."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._channels: dict[str, tuple[grpc.aio.Channel, Any]] = {}
        self._in_flight: Counter[str] = Counter()
        self._avoid_until_s: dict[str, float] = {}

    def count_endpoints(self, model: str, arm: Arm) -> int:
        """How many servers can answer for an arm."""
        return len(self._directory.targets(model, arm))

    async def infer(self, model: str, arm: Arm, *, request: bytes, deadline_s: float) -> bytes:
        """Call a version; a server that cannot be reached is replaced once by another.

        Args:
            model: Its name.
            arm: The version.
            request: A serialized ModelInferRequest.
            deadline_s: On the monotonic clock.
        Raises:
            Unavailable: No server of the version can be reached.
            DeadlineExceeded: It took too long.
            ArmFailed: It failed.
        """
        target = await self._pick(model, arm, deadline_s=deadline_s, failed=None)
        try:
            return await self._call(target, request, deadline_s=deadline_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise _named(error, arm) from error
            log.info("endpoint failed, trying another", extra={"target": target, "error": error.details()})
        self._avoid_until_s[target] = self._clock.monotonic_s() + _AVOID_S
        metrics.UPSTREAM_RETRIES.labels(model, arm.version).inc()
        target = await self._pick(model, arm, deadline_s=deadline_s, failed=target)
        try:
            return await self._call(target, request, deadline_s=deadline_s)
        except grpc.aio.AioRpcError as error:
            raise _named(error, arm) from error

    async def close_except(self, targets: Collection[str]) -> None:
        """Close the channels to all other servers, letting calls in flight finish."""
        gone = [target for target in self._channels if target not in targets and not self._in_flight[target]]
        for target in gone:
            channel, _ = self._channels.pop(target)
            self._avoid_until_s.pop(target, None)
            self._in_flight.pop(target, None)
            await channel.close(_CLOSE_GRACE_S)

    async def _pick(self, model: str, arm: Arm, *, deadline_s: float, failed: str | None) -> str:
        targets = self._directory.targets(model, arm)
        if failed is not None and set(targets) <= {failed}:
            await self._wait_for_change(_WAIT_FOR_CHANGE_S, deadline_s)
            targets = self._directory.targets(model, arm)
        give_up_s = min(deadline_s, self._clock.monotonic_s() + _WAIT_FOR_ENDPOINT_S)
        while not targets and self._clock.monotonic_s() < give_up_s:
            await self._wait_for_change(_WAIT_FOR_CHANGE_S, give_up_s)
            targets = self._directory.targets(model, arm)
        if not targets:
            raise Unavailable(f"no server holds version {arm.version!r} of {model!r} right now; try again")
        now_s = self._clock.monotonic_s()
        return min(
            targets,
            key=lambda t: (t == failed, self._avoid_until_s.get(t, 0) > now_s, self._in_flight[t]),
        )

    async def _wait_for_change(self, timeout_s: float, deadline_s: float) -> None:
        left_s = max(0.0, min(timeout_s, deadline_s - self._clock.monotonic_s()))
        await self._directory.changes.wait_beyond(self._directory.changes.revision, timeout_s=left_s)

    async def _call(self, target: str, request: bytes, *, deadline_s: float) -> bytes:
        if target not in self._channels:
            channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
            self._channels[target] = (channel, channel.unary_unary(_METHOD))
        left_s = deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise DeadlineExceeded("the time for the request ran out before it could be sent on")
        self._in_flight[target] += 1
        try:
            answer: bytes = await self._channels[target][1](request, timeout=left_s)
        finally:
            self._in_flight[target] -= 1
        return answer


def _named(error: grpc.aio.AioRpcError, arm: Arm) -> SlipwayError:
    what = f"version {arm.version!r}: {error.details()}"
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
        return Unavailable(what)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"version {arm.version!r} did not answer in time")
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(what)
    return ArmFailed(what)
