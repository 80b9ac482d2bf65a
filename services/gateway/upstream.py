"""Calls to the servers that hold the versions: any server of the Open Inference Protocol."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc.aio

from services.gateway import metrics
from services.gateway.channels import Channels
from services.gateway.directory import Directory
from services.gateway.domain.balancing import Rng
from services.gateway.domain.routing import Arm
from services.gateway.endpoints import Pick, Pool, UpstreamPolicy
from services.gateway.hedging import Answering, first_answer
from services.gateway.statuses import CallFailed, failure_of
from slipway.clock import Clock
from slipway.errors import DeadlineExceeded, Unavailable

log = logging.getLogger(__name__)

_WAIT_FOR_ENDPOINT_S: Final = 1.0  # routes may be told of a version a moment before the directory lists it
_WAIT_FOR_CHANGE_S: Final = 0.25
_NO_POLICY: Final = UpstreamPolicy()


def _always() -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class _Call:
    """One request on its way; `sent_s` is when it first went out."""

    request: bytes
    rows: int
    deadline_s: float
    hedge_share: float
    may_hedge: Callable[[], bool]
    attempts: int = 0
    sent_s: float = 0.0


class Upstream:
    """Sends each call to an endpoint of its version that works, and to another one when it does not."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        *,
        rng: Rng,
        channels: Channels,
        policy: UpstreamPolicy = _NO_POLICY,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._rng = rng
        self._policy = policy
        self._channels = channels
        self._pools: dict[tuple[str, str, str], Pool] = {}

    def count_endpoints(self, model: str, arm: Arm) -> int:
        """How many servers can answer for an arm: those that are listed and not left out."""
        return self._pool(model, arm).active_count

    def can_answer(self, model: str, arm: Arm) -> bool:
        """Whether a call for an arm would be sent."""
        pool = self._pool(model, arm)
        return pool.active_count > 0 and not pool.circuit.is_refusing(self._clock.monotonic_s())

    def check_circuit(self, model: str, arm: Arm) -> None:
        """Whether a version takes calls, without asking for a permit.

        Raises:
            Unavailable: Its circuit is open.
        """
        pool = self._pools.get((model, arm.version, arm.upstream))
        if pool is not None and not pool.circuit.is_closed:
            pool.check(self._clock.monotonic_s())

    async def infer(
        self,
        model: str,
        arm: Arm,
        *,
        request: bytes,
        deadline_s: float,
        rows: int = 1,
        hedge_share: float = 0.0,
        may_hedge: Callable[[], bool] = _always,
    ) -> bytes:
        """Call a version; a server that cannot be reached is replaced once by another.

        Cancelled, it cancels the call in the server.

        Args:
            model: Its name.
            arm: The version.
            request: A serialized ModelInferRequest.
            deadline_s: On the monotonic clock.
            rows: How many the request has.
            hedge_share: Of the calls that may be sent to a second server when the first is slow.
            may_hedge: Asked at that moment: whether there is room for a second call.
        Raises:
            Unavailable: No server of the version can be reached, or the circuit is open.
            DeadlineExceeded: It took too long.
            Overloaded: The server is full.
            ArmFailed: It failed.
        """
        call = _Call(
            request=request, rows=rows, deadline_s=deadline_s, hedge_share=hedge_share, may_hedge=may_hedge
        )
        return await self._judged(self._pool(model, arm), arm, call)

    def forget_except(self, in_use: Collection[tuple[str, str, str]]) -> None:
        """Forget versions that no route names any more."""
        for key in [key for key in self._pools if key not in in_use]:
            self._pools.pop(key).forget()

    async def close_except(self, targets: Collection[str]) -> None:
        """Close the channels to all other servers, letting calls in flight finish."""
        await self._channels.close_except(targets)

    async def _judged(self, pool: Pool, arm: Arm, call: _Call) -> bytes:
        """The answer, and its verdict for the circuit."""
        permit = pool.enter(self._clock.monotonic_s())
        try:
            answer = await self._answer(pool, arm, call)
        except CallFailed as failure:
            self._judge(pool, permit, is_fault=failure.meaning.is_fault)
            raise failure.error from failure.__cause__
        except (DeadlineExceeded, Unavailable):
            self._judge(pool, permit, is_fault=False)
            raise
        except asyncio.CancelledError:
            waited_s = self._clock.monotonic_s() - call.sent_s if call.sent_s else 0.0
            self._judge(pool, permit, is_fault=waited_s >= pool.fair_wait_s(call.rows))
            raise
        pool.circuit.succeeded(permit, now_s=self._clock.monotonic_s())
        return answer

    def _judge(self, pool: Pool, permit: int, *, is_fault: bool) -> None:
        verdict = pool.circuit.failed if is_fault else pool.circuit.released
        verdict(permit, now_s=self._clock.monotonic_s())

    def _pool(self, model: str, arm: Arm) -> Pool:
        """What is known of a version, with the endpoints that are listed now."""
        key = (model, arm.version, arm.upstream)
        pool = self._pools.get(key)
        if pool is None:
            pool = Pool(model, arm, policy=self._policy, channels=self._channels, rng=self._rng)
            self._pools[key] = pool
        pool.sync(self._directory.targets(model, arm), now_s=self._clock.monotonic_s())
        return pool

    async def _answer(self, pool: Pool, arm: Arm, call: _Call) -> bytes:
        await self._wait_for_endpoint(pool, arm, call)
        pick = pool.pick(call.rows, now_s=self._clock.monotonic_s(), failed=None)
        try:
            if call.hedge_share:
                return await self._call_hedged(pool, pick, call)
            return await self._call(pool, pick, call)
        except CallFailed as failure:
            if not failure.meaning.is_retriable or call.attempts > 1:
                raise
            log.info("endpoint failed, trying another", extra={"target": pick.target, "error": str(failure)})
        pool.retries.inc()
        if pool.is_alone(pick.target):
            await self._wait_for_change(_WAIT_FOR_CHANGE_S, call.deadline_s)
        pool = self._pool(pool.model, arm)
        await self._wait_for_endpoint(pool, arm, call)
        pick = pool.pick(call.rows, now_s=self._clock.monotonic_s(), failed=pick.target)
        return await self._call(pool, pick, call)

    async def _call(self, pool: Pool, pick: Pick, call: _Call) -> bytes:
        start_s = self._clock.monotonic_s()
        left_s = call.deadline_s - start_s
        if left_s <= 0:
            pool.released(pick, now_s=start_s)
            raise DeadlineExceeded("the time for the request ran out before it could be sent on")
        if pick.is_probe:  # and if it takes long, there is time left for another endpoint
            left_s = min(left_s, 2 * pool.fair_wait_s(call.rows))
        channel = self._channels.to(pick.target)
        call.attempts += 1
        call.sent_s = call.sent_s or start_s
        channel.in_flight += 1
        pick.load.rows += call.rows
        try:
            answer: bytes = await channel.infer(call.request, timeout=left_s)
        except grpc.aio.AioRpcError as error:
            raise self._failure(pool, pick, call=call, start_s=start_s, error=error) from error
        except asyncio.CancelledError:
            # Nobody waits any more: they gave up after a fair time, or for reasons of their own.
            now_s = self._clock.monotonic_s()
            pool.timed_out(pick, rows=call.rows, waited_s=now_s - start_s, now_s=now_s)
            raise
        finally:
            channel.in_flight -= 1
            pick.load.rows -= call.rows
        now_s = self._clock.monotonic_s()
        pool.succeeded(pick, rows=call.rows, latency_s=now_s - start_s, now_s=now_s)
        return answer

    async def _call_hedged(self, pool: Pool, pick: Pick, call: _Call) -> bytes:
        pool.hedges.earn(call.hedge_share)
        delay_s = pool.hedge_delay_s(call.rows)
        if delay_s is None or pick.is_probe:
            return await self._call(pool, pick, call)
        second = partial(self._second, pool, pick, call)
        answer, is_second = await first_answer(self._call(pool, pick, call), second, delay_s=delay_s)
        if is_second:
            metrics.HEDGES.labels(pool.model, pool.version, "won").inc()
        return answer

    def _second(self, pool: Pool, first: Pick, call: _Call) -> Answering | None:
        """A second call beside a slow first one, if there is where, room and budget."""
        now_s = self._clock.monotonic_s()
        if now_s >= call.deadline_s or not call.may_hedge():
            return None
        other = pool.pick_other(call.rows, now_s=now_s, than=first.target)
        if other is None or not pool.hedges.spend():
            return None
        metrics.HEDGES.labels(pool.model, pool.version, "sent").inc()
        return self._call(pool, other, call)

    def _failure(
        self, pool: Pool, pick: Pick, *, call: _Call, start_s: float, error: grpc.aio.AioRpcError
    ) -> CallFailed:
        failure, now_s = failure_of(error, version=pool.version), self._clock.monotonic_s()
        if not failure.meaning.is_fault:
            pool.released(pick, now_s=now_s)
            return failure
        if pick.is_probe:
            failure = failure.for_a_probe()
        if failure.is_timeout:
            is_fault = pool.timed_out(pick, rows=call.rows, waited_s=now_s - start_s, now_s=now_s)
        else:
            is_fault = pool.failed(pick, is_gone=failure.meaning.is_gone, now_s=now_s)
        return failure if is_fault else failure.without_fault()

    async def _wait_for_endpoint(self, pool: Pool, arm: Arm, call: _Call) -> None:
        """Return once the directory lists an endpoint.

        Raises:
            Unavailable: It has listed none for a second.
        """
        while not pool.has_endpoint:
            now_s = self._clock.monotonic_s()
            give_up_s = min(call.deadline_s, pool.empty_since(now_s) + _WAIT_FOR_ENDPOINT_S)
            if now_s >= give_up_s:
                what = f"no server holds version {pool.version!r} of {pool.model!r} right now; try again"
                raise Unavailable(what)
            await self._wait_for_change(_WAIT_FOR_CHANGE_S, give_up_s)
            self._pool(pool.model, arm)

    async def _wait_for_change(self, timeout_s: float, deadline_s: float) -> None:
        left_s = max(0.0, min(timeout_s, deadline_s - self._clock.monotonic_s()))
        await self._directory.changes.wait_beyond(self._directory.changes.revision, timeout_s=left_s)
