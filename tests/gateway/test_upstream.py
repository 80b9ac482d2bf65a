from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import grpc
import grpc.aio
import pytest

from services.gateway.directory import Directory
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm
from services.gateway.upstream import Upstream
from slipway.clock import SystemClock
from slipway.errors import DeadlineExceeded, Overloaded, Unavailable
from slipway.v1.inference_pb2 import EndpointDirectory, VersionEndpoints

ARM = Arm(version="1", digest="", upstream="inference", role="champion", weight_ppm=1)
CLOCK = SystemClock()
NOWHERE = "127.0.0.1:1"


@asynccontextmanager
async def server(code: grpc.StatusCode | None = None) -> AsyncIterator[str]:
    """Answers every call with its own target, or with a code."""
    it = grpc.aio.server()
    target = f"127.0.0.1:{it.add_insecure_port('127.0.0.1:0')}"

    async def infer(_data: bytes, context: Any) -> bytes:
        if code is not None:
            await context.abort(code, "so it is")
        return target.encode()

    handlers: dict[str, Any] = {"ModelInfer": grpc.unary_unary_rpc_method_handler(infer)}
    it.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    await it.start()
    try:
        yield target
    finally:
        await it.stop(None)


def directory(*targets: str) -> Directory:
    it = Directory()
    entry = VersionEndpoints(model="m", version="1", state="READY", targets=targets)
    it.apply(EndpointDirectory(versions=[entry]))
    return it


@asynccontextmanager
async def upstream(*targets: str) -> AsyncIterator[Upstream]:
    it = Upstream(directory(*targets), CLOCK, rng=Random(0))
    try:
        yield it
    finally:
        await it.close_except(())


async def ask(it: Upstream, within_s: float = 20.0) -> str:
    answer = await it.infer("m", ARM, request=b"x", deadline_s=CLOCK.monotonic_s() + within_s)
    return answer.decode()


async def test_a_server_that_cannot_be_reached_is_replaced_by_another() -> None:
    async with server() as target, upstream(NOWHERE, target) as it:
        assert [await ask(it) for _ in range(20)] == [target] * 20
        assert it.count_endpoints("m", ARM) == 1  # the other is left out for a while


async def test_a_sole_server_is_asked_for_again_after_a_new_look() -> None:
    async with server() as target:
        it = Upstream(directory(NOWHERE), CLOCK, rng=Random(0))
        changes = it._directory.changes
        wait = changes.wait_beyond

        async def then_listed(revision: int, *, timeout_s: float) -> int:
            it._directory.apply(directory(target)._directory)
            return await wait(revision, timeout_s=timeout_s)

        changes.wait_beyond = then_listed  # type: ignore[method-assign]
        assert await ask(it) == target
        await it.close_except(())


async def test_unavailable_when_nobody_answers() -> None:
    async with upstream(NOWHERE) as it:
        with pytest.raises(Unavailable, match="version '1'"):
            await ask(it)


async def test_unavailable_when_nobody_is_listed() -> None:
    async with upstream() as it:
        with pytest.raises(Unavailable, match="no server holds version '1' of 'm'"):
            await ask(it, within_s=0.05)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INTERNAL, ArmFailed),
        (grpc.StatusCode.INVALID_ARGUMENT, ArmFailed),
        (grpc.StatusCode.NOT_FOUND, Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
    ],
)
async def test_failures_keep_their_meaning(code: grpc.StatusCode, kind: type[Exception]) -> None:
    async with server(code) as target, upstream(target) as it:
        with pytest.raises(kind, match="version '1'"):
            await ask(it)


async def test_no_call_is_made_when_the_time_is_over() -> None:
    async with server() as target, upstream(target) as it:
        with pytest.raises(DeadlineExceeded, match="ran out before"):
            await ask(it, within_s=0)


async def test_channels_to_servers_that_are_gone_are_closed() -> None:
    async with server() as target, upstream(target) as it:
        await ask(it)
        await it.close_except((target,))
        assert list(it._channels.targets) == [target]
        await it.close_except(())
        assert not it._channels.targets
