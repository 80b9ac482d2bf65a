"""Copies of answered requests to a version in shadow: behind the answers, lost rather than in the way.

A copy has its own connections, its own deadline and nothing else: no lane, no cache, no circuit, no second
record of the answer. What becomes of it is told to the rollout alone.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

import grpc.aio

from services.gateway import metrics, records, wire
from services.gateway.channels import Channels
from services.gateway.directory import Directory
from services.gateway.domain import mirroring
from services.gateway.domain.batching import Columns, split_answer
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.mirroring import MirrorLimits, Room, TokenBucket
from services.gateway.domain.routing import CHAMPION, Arm, Route
from services.gateway.lanes import Lanes
from services.gateway.records import Prediction, ShadowAnswer
from services.gateway.spool import Spool
from services.gateway.statuses import CallFailed, failure_of
from slipway.clock import Clock
from slipway.errors import InvalidInput, Overloaded, SlipwayError
from slipway.rpc import status_of

log = logging.getLogger(__name__)

_MOST_TRIES: Final = 2  # as for a user's call
_IDLE_S: Final = 30.0  # connections that no copy has used for so long are closed
_DRAIN_S: Final = 2.0
_CANCEL_S: Final = 1.0
_MOST_BUCKETS: Final = 4096
_LIMITS: Final = MirrorLimits()


@dataclass(slots=True, kw_only=True)
class _Copy:
    """An answered request on its way to a version in shadow."""

    prediction: Prediction
    outputs: Columns
    arm: Arm
    targets: Sequence[str]
    size_bytes: int
    served_s: float
    latency_s: float
    offered_s: float

    @property
    def key(self) -> tuple[str, str]:
        """Model and version in shadow."""
        return self.prediction.contract.model, self.arm.version


class Mirror:
    """Takes answered requests, and has copies of some of them answered by the version in shadow."""

    def __init__(
        self,
        directory: Directory,
        spool: Spool,
        *,
        lanes: Lanes,
        channels: Channels,
        clock: Clock,
        rng: Random,
        limits: MirrorLimits = _LIMITS,
    ) -> None:
        self._directory = directory
        self._spool = spool
        self._lanes = lanes
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._room = Room(limits)
        self._buckets: dict[tuple[str, str], TokenBucket] = {}
        self._channels = channels
        self._used: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def offer(self, prediction: Prediction, outputs: Columns, *, route: Route, latency_s: float) -> None:
        """Have a request copied whose answer is recorded and goes out now, if it is its turn.

        Only what the champion answered by chance is compared: no request that names its version or arm, no
        answer by a fallback, none without a record.
        """
        shadow = route.shadow
        if shadow is None or prediction.arm.role != CHAMPION or prediction.is_pinned:
            return
        if prediction.degraded or not prediction.is_recorded:
            return
        if not mirroring.is_chosen(shadow, prediction.prediction_id, salt=route.salt):
            return
        copy = self._copy_of(prediction, outputs, shadow, latency_s=latency_s)
        reason = self._refusal(copy)
        if reason is not None:
            _skip(copy, reason)
            return
        self._room.enter(copy.key, copy.size_bytes)
        metrics.SHADOW_IN_FLIGHT.set(self._room.in_flight)
        task = asyncio.create_task(self._answer(copy))
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(partial(self._end, copy))

    async def run(self, stop: asyncio.Event) -> None:
        """Close connections that are no longer used; at the end give copies a moment, and drop the rest."""
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await stop.wait()
            used, self._used = self._used, set()
            await self._channels.close_except(used)
        self._is_stopping = True
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_DRAIN_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_CANCEL_S)
        await self._channels.close_except(())

    def _copy_of(self, prediction: Prediction, outputs: Columns, arm: Arm, *, latency_s: float) -> _Copy:
        targets = self._directory.targets(prediction.contract.model, arm)
        return _Copy(
            prediction=prediction,
            outputs=outputs,
            arm=arm,
            targets=self._rng.sample(targets, min(_MOST_TRIES, len(targets))),
            size_bytes=sum(map(len, prediction.checked.columns)) + sum(map(len, outputs)),
            served_s=self._clock.now_s(),
            latency_s=latency_s,
            offered_s=self._clock.monotonic_s(),
        )

    def _refusal(self, copy: _Copy) -> str | None:
        """Why a copy is not made; None: it is."""
        prediction = copy.prediction
        if self._is_stopping:
            return mirroring.STOPPING
        if not copy.targets:
            return mirroring.NO_ENDPOINT
        if self._has_no_spool():
            return mirroring.SPOOL
        refusal = self._room.refusal(copy.key, copy.size_bytes)
        if refusal is not None:
            return refusal
        lane = self._lanes.lane(prediction.contract.model, prediction.arm)
        if lane.is_crowded(prediction.contract, prediction.checked.rows):
            return mirroring.SATURATED
        bucket = self._bucket(copy.key)
        return None if bucket.take(copy.arm.max_mirrored_per_s, copy.offered_s) else mirroring.RATE

    def _bucket(self, key: tuple[str, str]) -> TokenBucket:
        if key not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._buckets.clear()
        return self._buckets.setdefault(key, TokenBucket())

    def _has_no_spool(self) -> bool:
        return self._spool.is_full or self._spool.used_share >= self._limits.spool_share

    async def _answer(self, copy: _Copy) -> None:
        """Ask the version in shadow, and keep what it says."""
        start_s = self._clock.monotonic_s()
        if start_s - copy.offered_s > self._limits.late_s:
            _skip(copy, mirroring.SATURATED)
            return
        outputs: Columns = ()
        code = message = ""
        try:
            outputs = await self._ask(copy, deadline_s=start_s + copy.prediction.contract.timeout_s)
        except Overloaded:
            _skip(copy, mirroring.SATURATED)
            return
        except SlipwayError as error:
            code, message = status_of(error).name, str(error)
        latency_s = self._clock.monotonic_s() - start_s
        metrics.SHADOW_SECONDS.labels(*copy.key).observe(latency_s)
        answer = ShadowAnswer(arm=copy.arm, outputs=outputs, latency_s=latency_s, code=code, message=message)
        self._keep(copy, answer)

    async def _ask(self, copy: _Copy, *, deadline_s: float) -> Columns:
        """The outputs of the version in shadow.

        Raises:
            SlipwayError: As for a user's call.
        """
        contract, checked = copy.prediction.contract, copy.prediction.checked
        request = wire.write_call(
            contract.model,
            copy.arm.version,
            inputs=contract.signature.inputs,
            columns=checked.columns,
            rows=checked.rows,
        )
        data = await self._call(copy, request, deadline_s=deadline_s)
        try:
            (outputs,) = split_answer(contract.signature.outputs, wire.read_answer(data), rows=[checked.rows])
        except InvalidInput as error:
            raise ArmFailed(f"version {copy.arm.version!r} answered nonsense: {error}") from error
        return outputs

    async def _call(self, copy: _Copy, request: bytes, *, deadline_s: float) -> bytes:
        *others, last = copy.targets
        for target in others:
            try:
                return await self._send(copy, request, target=target, deadline_s=deadline_s)
            except CallFailed as failure:
                if not failure.meaning.is_retriable:
                    raise failure.error from failure
        try:
            return await self._send(copy, request, target=last, deadline_s=deadline_s)
        except CallFailed as failure:
            raise failure.error from failure

    async def _send(self, copy: _Copy, request: bytes, *, target: str, deadline_s: float) -> bytes:
        channel = self._channels.to(target)
        self._used.add(target)
        channel.in_flight += 1
        try:
            left_s = max(0.0, deadline_s - self._clock.monotonic_s())
            answer: bytes = await channel.infer(request, timeout=left_s)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, version=copy.arm.version) from error
        finally:
            channel.in_flight -= 1
        return answer

    def _keep(self, copy: _Copy, answer: ShadowAnswer) -> None:
        """Write the record of a copy, where that takes no room from those of answers."""
        if self._has_no_spool():
            _skip(copy, mirroring.SPOOL)
            return
        contract = copy.prediction.contract
        record = records.shadowed(
            copy.prediction,
            answer,
            served=mirroring.answered_texts(contract.signature.outputs, copy.outputs),
            served_s=copy.served_s,
            latency_s=copy.latency_s,
        )
        try:
            self._spool.append_packed((record,))
        except (InvalidInput, Overloaded) as error:
            log.warning("the record of a copy is lost: %s", error, extra={"model": contract.model})
            _skip(copy, mirroring.SPOOL)
            return
        metrics.SHADOW_MIRRORED.labels(*copy.key, answer.code or "OK").inc()

    def _end(self, copy: _Copy, task: "asyncio.Task[None]") -> None:
        """Give the room back; a callback, as a task that is cancelled before it began runs no `finally`."""
        self._tasks.discard(task)
        self._room.leave(copy.key, copy.size_bytes)
        metrics.SHADOW_IN_FLIGHT.set(self._room.in_flight)
        if task.cancelled():
            _skip(copy, mirroring.DROPPED)
        else:
            task.result()  # what nobody expected is logged by the loop


def _skip(copy: _Copy, reason: str) -> None:
    metrics.SHADOW_SKIPPED.labels(*copy.key, reason).inc()
