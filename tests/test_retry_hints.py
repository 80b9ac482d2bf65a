"""A refusal for overload says when to come again, by gRPC and by HTTP."""

import json
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from slipway import rpc, web
from slipway.errors import InvalidInput, Overloaded, SlipwayError

ERRORS = {
    b"later": Overloaded("full", retry_after_s=0.25),
    b"full": Overloaded("full"),
    b"": InvalidInput("no"),
}


@pytest.mark.parametrize(("error", "seconds"), [(ERRORS[b"later"], "1"), (ERRORS[b"full"], None)])
async def test_http_says_it_in_whole_seconds(error: SlipwayError, seconds: str | None) -> None:
    app = web.application("t", not_ready=list)

    @app.get("/x")
    async def _x() -> None:
        raise error

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        answer = await client.get("/x")
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, seconds)
    assert web.retry_headers(ERRORS[b""]) == {}


async def _refuse(data: bytes, context: Any) -> bytes:
    async with rpc.aborting(context):
        raise ERRORS[data]
    raise AssertionError("aborted")


async def test_grpc_says_it_in_trailing_metadata() -> None:
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Ask": grpc.unary_unary_rpc_method_handler(_refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    seen = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for data in ERRORS:
            ask: Any = channel.unary_unary("/t.T/Ask")
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await ask(data, timeout=20)
            seen[data] = dict(failure.value.trailing_metadata() or ())
    await server.stop(0)
    assert seen[b"later"]["retry-after-ms"] == "250"
    assert seen[b"full"] == seen[b""] == {}


async def test_grpc_clients_with_a_retry_policy_obey_by_themselves() -> None:
    asked = []

    async def refuse_once(_data: bytes, context: Any) -> bytes:
        asked.append(1)
        if len(asked) == 1:
            async with rpc.aborting(context):
                raise ERRORS[b"later"]
        return b"answer"

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Ask": grpc.unary_unary_rpc_method_handler(refuse_once)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    policy = {
        "maxAttempts": 2,
        "initialBackoff": "100s",
        "maxBackoff": "100s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    options = [("grpc.service_config", config)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        ask: Any = channel.unary_unary("/t.T/Ask")
        assert await ask(b"", timeout=20) == b"answer"
    await server.stop(0)
    assert len(asked) == 2
