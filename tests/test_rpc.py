"""Who calls a server of operators: the stack's token, a key of one's own, nobody."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from slipway import rpc
from slipway.errors import Unauthenticated
from slipway.identity.api_keys import ApiKey, mac_of, text_of
from slipway.identity.callers import Callers
from slipway.identity.key_book import KeyBook
from slipway.rpc import RpcServer, caller, operator_metadata
from slipway.v1 import rollout_pb2, rollout_pb2_grpc
from tests.identity.known import authenticator_of

PEPPER = b"p" * 32
ANNA, SHOP = text_of("k1", "annas"), text_of("k2", "shops")
KEYS = [
    ApiKey(key_id="k1", principal="anna", tenant="default", mac=mac_of(PEPPER, ANNA), roles=("owner",)),
    ApiKey(key_id="k2", principal="shop", tenant="default", mac=mac_of(PEPPER, SHOP)),
]


class WhoAmI(rollout_pb2_grpc.RolloutControlServicer):
    """Lists who calls in place of models."""

    async def ListModels(self, _request: Any, context: Any) -> Any:
        who = caller(context)
        return rollout_pb2.ListModelsResponse(models=[who.principal, *who.roles])


@pytest.fixture
async def known() -> AsyncIterator[tuple[KeyBook, Any]]:
    """The keys, and a stub of a server that knows them."""
    book = KeyBook(PEPPER)
    book.replace(KEYS)
    authenticator = authenticator_of(book, operator_token="stack")
    server = RpcServer(interceptors=(Callers(authenticator),))
    server.add(
        rollout_pb2_grpc.add_RolloutControlServicer_to_server, WhoAmI(), service="slipway.v1.RolloutControl"
    )
    port = server.server.add_insecure_port("127.0.0.1:0")
    await server.server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as channel:
        yield book, channel
    await server.server.stop(0)


async def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return refusal.value.code()


async def who(channel: Any, *metadata: tuple[str, str]) -> list[str]:
    stub = rollout_pb2_grpc.RolloutControlStub(channel)
    answer = await stub.ListModels(rollout_pb2.ListModelsRequest(), metadata=metadata, timeout=10)
    return list(answer.models)


async def test_the_stacks_token_is_the_administrator(known: Any) -> None:
    assert await who(known[1], *operator_metadata("stack")) == ["operator", "admin"]


async def test_a_key_of_ones_own_is_he_and_nobody_once_it_is_revoked(known: Any) -> None:
    book, channel = known
    assert await who(channel, *operator_metadata(ANNA)) == ["anna", "owner"]
    assert await who(channel, ("x-api-key", ANNA)) == ["anna", "owner"]
    book.replace(KEYS[1:])
    assert await refused(who(channel, *operator_metadata(ANNA))) is grpc.StatusCode.UNAUTHENTICATED
    assert await who(channel, *operator_metadata("stack")) == ["operator", "admin"]


@pytest.mark.parametrize("authorization", ["", "stack", "Basic stack", "Bearer stac", "Bearer stackk"])
async def test_nobody_else_comes_in(known: Any, authorization: str) -> None:
    assert await refused(who(known[1], ("authorization", authorization))) is grpc.StatusCode.UNAUTHENTICATED


async def test_two_credentials_are_none(known: Any) -> None:
    for second in (("authorization", "Bearer x"), ("x-api-key", ANNA)):
        assert (
            await refused(who(known[1], *operator_metadata("stack"), second))
            is grpc.StatusCode.UNAUTHENTICATED
        )


async def test_nothing_that_strangers_send_is_parsed(known: Any) -> None:
    call = known[1].unary_unary("/slipway.v1.RolloutControl/ListModels")
    rubbish = b"\xff\xff"
    assert await refused(call(rubbish, timeout=10)) is grpc.StatusCode.UNAUTHENTICATED
    stack = operator_metadata("stack")
    assert await refused(call(rubbish, metadata=stack, timeout=10)) is grpc.StatusCode.INVALID_ARGUMENT
    assert await call(b"", metadata=stack, timeout=10)


async def test_health_is_open_to_all(known: Any) -> None:
    await known[1].unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)


async def test_a_server_that_identifies_nobody_knows_no_caller() -> None:
    with pytest.raises(Unauthenticated):
        caller(None)
