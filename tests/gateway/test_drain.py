"""Real servers in this process; that no request fails is seen in the integration tests of workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.gateway.drain import Drain
from slipway import web
from slipway.rpc import RpcServer
from tests.gateway.test_settings import settings
from tests.service_process import free_port


async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@dataclass(frozen=True, kw_only=True)
class Site:
    http: web.Serving
    drain: Drain
    http_port: int
    grpc_port: int

    async def health(self, channel: grpc.aio.Channel) -> int:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        return int(answer.status)


@asynccontextmanager
async def site(*, age_s: float, drain_s: float) -> AsyncIterator[Site]:
    own = settings(
        http_port=free_port(),
        grpc_port=free_port(),
        admin_port=free_port(),
        connection_age_s=age_s,
        drain_s=drain_s,
    )
    server = RpcServer(is_shared=True, options=[("grpc.max_connection_age_ms", round(age_s * 1000))])
    async with (
        web.serving(nothing, host="127.0.0.1", port=own.http_port) as http,
        server.serving(f"127.0.0.1:{own.grpc_port}"),
    ):
        drain = Drain(own, [server])
        yield Site(http=http, drain=drain, http_port=own.http_port, grpc_port=own.grpc_port)


async def test_without_clients_there_is_nothing_to_wait_for() -> None:
    async with site(age_s=500, drain_s=600) as it:
        await asyncio.wait_for(it.drain.run(it.http, asyncio.Event()), 30)
        for port in (it.http_port, it.grpc_port):
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection("127.0.0.1", port)


async def test_clients_are_answered_until_a_second_signal() -> None:
    async with (
        site(age_s=500, drain_s=600) as it,
        grpc.aio.insecure_channel(f"127.0.0.1:{it.grpc_port}") as channel,
    ):
        assert await it.health(channel) == health_pb2.HealthCheckResponse.SERVING
        hurry = asyncio.Event()
        draining = asyncio.ensure_future(it.drain.run(it.http, hurry))
        while await it.health(channel) != health_pb2.HealthCheckResponse.NOT_SERVING:
            await asyncio.sleep(0.01)
        assert not draining.done()
        hurry.set()
        await asyncio.wait_for(draining, 30)


async def test_a_connection_that_comes_of_age_ends_the_wait() -> None:
    async with (
        site(age_s=1, drain_s=600) as it,
        grpc.aio.insecure_channel(f"127.0.0.1:{it.grpc_port}") as channel,
    ):
        assert await it.health(channel) == health_pb2.HealthCheckResponse.SERVING
        await asyncio.wait_for(it.drain.run(it.http, asyncio.Event()), 30)


async def test_clients_who_stay_are_not_waited_for_beyond_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with site(age_s=0.5, drain_s=0.6) as it:
        _, writer = await asyncio.open_connection("127.0.0.1", it.http_port)
        while it.http.connections == 0:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(it.drain.run(it.http, asyncio.Event()), 30)
        assert "clients stay to the end" in caplog.text
        writer.close()
