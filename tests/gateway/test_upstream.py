import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import grpc
import grpc.aio
import pytest

from services.gateway import metrics
from services.gateway.channels import Channels, replica_credentials
from services.gateway.directory import Directory
from services.gateway.domain.circuit import CircuitPolicy
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm
from services.gateway.endpoints import UpstreamPolicy
from services.gateway.upstream import Upstream
from slipway.clock import SystemClock
from slipway.errors import DeadlineExceeded, Overloaded, SlipwayError, Unavailable
from slipway.v1.inference_pb2 import EndpointDirectory, VersionEndpoints

ARM = Arm(version="1", digest="", upstream="inference", role="champion", weight_ppm=1)
CLOCK = SystemClock()
NOWHERE = "127.0.0.1:1"
QUICK_CIRCUIT = UpstreamPolicy(circuit=CircuitPolicy(min_calls=3))


class Hurried(SystemClock):
    """The machine's clock, and some more."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


class Server:
    """A server of the protocol that answers with its own target."""

    def __init__(self) -> None:
        self.target = ""
        self.code: grpc.StatusCode | None = None
        self.details = "so it is"
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls = 0
        self.cancelled = 0

    async def infer(self, _data: bytes, context: Any) -> bytes:
        self.calls += 1
        if self.code is not None:
            await context.abort(self.code, self.details)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.target.encode()


@asynccontextmanager
async def server(code: grpc.StatusCode | None = None) -> AsyncIterator[Server]:
    it, state = grpc.aio.server(), Server()
    state.target = f"127.0.0.1:{it.add_insecure_port('127.0.0.1:0')}"
    state.code = code
    handlers: dict[str, Any] = {"ModelInfer": grpc.unary_unary_rpc_method_handler(state.infer)}
    it.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    await it.start()
    try:
        yield state
    finally:
        state.gate.set()
        await it.stop(None)


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[Server]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(server()) for _ in range(count)]


def directory(*targets: str) -> Directory:
    it = Directory()
    entry = VersionEndpoints(model="m", version="1", state="READY", targets=targets)
    it.apply(EndpointDirectory(versions=[entry]))
    return it


@asynccontextmanager
async def upstream(
    *targets: str, clock: SystemClock = CLOCK, policy: UpstreamPolicy | None = None
) -> AsyncIterator[Upstream]:
    channels = Channels(replica_credentials(cert_file="", ca_file=""))
    it = Upstream(
        directory(*targets), clock, rng=Random(0), channels=channels, policy=policy or UpstreamPolicy()
    )
    try:
        yield it
    finally:
        await it.close_except(())
        it.forget_except(())


async def ask(it: Upstream, within_s: float = 20.0, **more: Any) -> str:
    deadline_s = it._clock.monotonic_s() + within_s
    answer = await it.infer("m", ARM, request=b"x", deadline_s=deadline_s, **more)
    return answer.decode()


async def failures(it: Upstream, count: int, **more: Any) -> list[SlipwayError]:
    found: list[SlipwayError] = []
    for _ in range(count):
        with pytest.raises(SlipwayError) as failure:
            await ask(it, **more)
        found.append(failure.value)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def value(metric: Any, *labels: str) -> float:
    return float(metric.labels("m", "1", *labels)._value.get())


async def test_a_server_that_cannot_be_reached_is_replaced_by_another() -> None:
    async with server() as one, upstream(NOWHERE, one.target) as it:
        assert [await ask(it) for _ in range(20)] == [one.target] * 20
        assert it.count_endpoints("m", ARM) == 1  # the other is left out for a while
        assert value(metrics.ENDPOINT_STATE, NOWHERE) == 2


async def test_a_sole_server_is_asked_for_again_after_a_new_look() -> None:
    async with server() as one, upstream(NOWHERE) as it:
        changes = it._directory.changes
        wait = changes.wait_beyond

        async def then_listed(revision: int, *, timeout_s: float) -> int:
            it._directory.apply(directory(one.target)._directory)
            return await wait(revision, timeout_s=timeout_s)

        changes.wait_beyond = then_listed  # type: ignore[method-assign]
        assert await ask(it) == one.target


async def test_unavailable_when_nobody_answers() -> None:
    async with upstream(NOWHERE) as it:
        with pytest.raises(Unavailable, match="version '1'"):
            await ask(it)


async def test_unavailable_when_nobody_is_listed() -> None:
    async with upstream() as it:
        with pytest.raises(Unavailable, match="no server holds version '1' of 'm'"):
            await ask(it, within_s=0.05)
        assert not it.can_answer("m", ARM)


async def test_nobody_waits_twice_for_a_version_that_nobody_holds() -> None:
    clock = Hurried()
    async with upstream(clock=clock) as it:
        await failures(it, 1, within_s=0.05)
        clock.ahead_s = 2.0
        it._directory.changes.wait_beyond = pytest.fail  # type: ignore[method-assign,assignment]
        await failures(it, 3)


@pytest.mark.parametrize(
    ("code", "kind", "calls"),
    [
        (grpc.StatusCode.INTERNAL, ArmFailed, 1),
        (grpc.StatusCode.UNKNOWN, ArmFailed, 1),
        (grpc.StatusCode.INVALID_ARGUMENT, ArmFailed, 1),
        (grpc.StatusCode.UNAUTHENTICATED, ArmFailed, 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded, 1),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded, 1),
        (grpc.StatusCode.UNAVAILABLE, Unavailable, 2),
        (grpc.StatusCode.NOT_FOUND, Unavailable, 2),
        (grpc.StatusCode.UNIMPLEMENTED, Unavailable, 2),
        (grpc.StatusCode.CANCELLED, Unavailable, 2),
    ],
)
async def test_failures_keep_their_meaning(code: grpc.StatusCode, kind: type[Exception], calls: int) -> None:
    async with server(code) as one, upstream(one.target) as it:
        with pytest.raises(kind, match="version '1'"):
            await ask(it)
        assert one.calls == calls


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5 vs. 4)", ArmFailed),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", Unavailable),
    ],
)
async def test_what_grpc_says_in_words_only_is_understood(
    code: grpc.StatusCode, details: str, kind: type[Exception]
) -> None:
    async with server(code) as one, upstream(one.target) as it:
        one.details = details
        with pytest.raises(kind):
            await ask(it)


async def test_a_server_that_knows_nothing_of_the_protocol_is_named() -> None:
    it = grpc.aio.server()
    target = f"127.0.0.1:{it.add_insecure_port('127.0.0.1:0')}"
    await it.start()
    async with upstream(target) as calls:
        with pytest.raises(Unavailable, match="does not speak the Open Inference Protocol"):
            await ask(calls)
    await it.stop(None)


async def test_no_call_is_made_when_the_time_is_over() -> None:
    async with server() as one, upstream(one.target) as it:
        with pytest.raises(DeadlineExceeded, match="ran out before"):
            await ask(it, within_s=0)
        assert one.calls == 0


async def test_channels_to_servers_that_are_gone_are_closed() -> None:
    async with server() as one, upstream(one.target) as it:
        await ask(it)
        await it.close_except((one.target,))
        assert list(it._channels.targets) == [one.target]
        await it.close_except(())
        assert not it._channels.targets


async def test_versions_that_no_route_names_are_forgotten() -> None:
    async with server() as one, upstream(one.target) as it:
        await ask(it)
        it.forget_except({("m", "1", "inference")})
        assert len(it._pools) == 1
        it.forget_except(())
        assert not it._pools


async def test_calls_are_spread_over_the_endpoints() -> None:
    async with servers(3) as three, upstream(*[s.target for s in three]) as it:
        for one in three:
            one.gate.clear()
        calls = [asyncio.ensure_future(ask(it)) for _ in range(30)]
        await until(lambda: sum(s.calls for s in three) == 30)
        for one in three:
            one.gate.set()
        assert max(Counter(await asyncio.gather(*calls)).values()) <= 12


async def test_large_calls_count_by_their_rows() -> None:
    async with servers(2) as (a, b), upstream(a.target, b.target) as it:
        a.gate.clear()
        b.gate.clear()
        calls = [asyncio.ensure_future(ask(it, rows=100))]
        await until(lambda: a.calls + b.calls == 1)
        calls += [asyncio.ensure_future(ask(it, rows=1)) for _ in range(20)]
        await until(lambda: a.calls + b.calls == 21)
        assert {a.calls, b.calls} == {1, 20}
        a.gate.set()
        b.gate.set()
        await asyncio.gather(*calls)


async def test_an_endpoint_that_keeps_failing_is_left_out_and_taken_back_by_one_probe() -> None:
    clock = Hurried()
    async with servers(2) as (good, bad), upstream(good.target, bad.target, clock=clock) as it:
        bad.code = grpc.StatusCode.INTERNAL
        await asyncio.gather(*[ask(it) for _ in range(80)], return_exceptions=True)
        seen = bad.calls
        assert seen > 20  # enough to open a circuit, if they spoke against the version
        assert [await ask(it) for _ in range(20)] == [good.target] * 20
        assert bad.calls == seen
        bad.code = None
        clock.ahead_s = 1.5
        assert await ask(it) == bad.target
        assert it.count_endpoints("m", ARM) == 2
        assert set(await asyncio.gather(*[ask(it) for _ in range(40)])) == {good.target, bad.target}


async def test_impatient_callers_can_have_no_endpoint_ejected() -> None:
    async with servers(2) as two, upstream(*[s.target for s in two], policy=QUICK_CIRCUIT) as it:
        for one in two:
            one.gate.clear()
        for failure in await failures(it, 20, within_s=0.01):
            assert isinstance(failure, DeadlineExceeded)
        assert it.count_endpoints("m", ARM) == 2
        assert it.can_answer("m", ARM)


async def test_a_version_that_keeps_failing_is_left_alone_and_says_until_when() -> None:
    clock = Hurried()
    async with server() as one, upstream(one.target, clock=clock, policy=QUICK_CIRCUIT) as it:
        one.code = grpc.StatusCode.INTERNAL
        await failures(it, 3)
        (refusal,) = await failures(it, 1)
        assert isinstance(refusal, Unavailable)
        assert "is tried again in" in str(refusal)
        assert refusal.retry_after_s == pytest.approx(2.0, abs=1.0)
        assert one.calls == 3
        assert value(metrics.CIRCUIT_STATE) == 2
        assert not it.can_answer("m", ARM)
        with pytest.raises(Unavailable, match="left alone"):
            it.check_circuit("m", ARM)
        one.code = None
        clock.ahead_s = 2.5
        it.check_circuit("m", ARM)
        assert await ask(it) == one.target
        assert value(metrics.CIRCUIT_STATE) == 0


async def test_bad_input_and_a_full_server_open_no_circuit() -> None:
    async with server() as one, upstream(one.target, policy=QUICK_CIRCUIT) as it:
        for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
            one.code = code
            await failures(it, 10)
        assert it.can_answer("m", ARM)


async def test_a_new_endpoint_is_worth_a_try_at_once() -> None:
    async with servers(2) as (old, new), upstream(old.target, policy=QUICK_CIRCUIT) as it:
        old.code = grpc.StatusCode.INTERNAL
        await failures(it, 3)
        assert not it.can_answer("m", ARM)
        it._directory.apply(directory(new.target)._directory)
        assert await ask(it) == new.target


async def test_a_hanging_version_opens_its_circuit_though_the_callers_gave_up() -> None:
    async with server() as one, upstream(one.target, policy=QUICK_CIRCUIT) as it:
        await ask(it)
        one.gate.clear()
        for count in range(2, 7):
            call = asyncio.ensure_future(ask(it))
            await until(lambda count=count: one.calls == count)  # type: ignore[misc]
            await asyncio.sleep(0.3)  # longer than four times usual
            call.cancel()
            await asyncio.wait([call])
            if not it.can_answer("m", ARM):
                break
        assert not it.can_answer("m", ARM)


async def test_who_leaves_ends_the_call_in_the_server() -> None:
    async with server() as one, upstream(one.target) as it:
        one.gate.clear()
        call = asyncio.ensure_future(ask(it))
        await until(lambda: one.calls == 1)
        call.cancel()
        await until(lambda: one.cancelled == 1)
        assert it.can_answer("m", ARM)


async def known(it: Upstream) -> None:
    """Enough calls for a percentile."""
    for _ in range(64):
        await ask(it, hedge_share=0.5)


async def test_a_slow_call_gets_a_second_one_elsewhere_and_the_first_is_cancelled() -> None:
    async with servers(2) as two, upstream(*[s.target for s in two]) as it:
        await known(it)
        slow, quick = two
        slow.gate.clear()
        sent, won = value(metrics.HEDGES, "sent"), value(metrics.HEDGES, "won")
        while value(metrics.HEDGES, "won") == won:  # until the slow one was chosen first
            assert await ask(it, hedge_share=0.5) == quick.target
        assert value(metrics.HEDGES, "sent") > sent
        await until(lambda: slow.cancelled >= 1)


@pytest.mark.parametrize("how", ["no share", "saturated"])
async def test_no_second_call_without_a_share_or_room(how: str) -> None:
    async with servers(2) as two, upstream(*[s.target for s in two]) as it:
        await known(it)
        for one in two:
            one.gate.clear()
        before = two[0].calls + two[1].calls
        share = 0.0 if how == "no share" else 0.5
        await failures(it, 1, within_s=0.3, hedge_share=share, may_hedge=lambda: False)
        assert two[0].calls + two[1].calls == before + 1


async def test_a_sole_endpoint_is_not_asked_twice() -> None:
    async with server() as one, upstream(one.target) as it:
        await known(it)
        one.gate.clear()
        await failures(it, 1, within_s=0.3, hedge_share=0.5)
        assert one.calls == 65
