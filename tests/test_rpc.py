"""Who calls: the stack's token, an operator's own, nobody."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from slipway import rpc
from slipway.errors import Unauthenticated
from slipway.identity.caller import Caller
from slipway.rpc import OperatorToken, RpcServer, caller, operator_metadata
from slipway.v1 import rollout_pb2, rollout_pb2_grpc

ANNA = Caller(principal="anna", tenant="default", roles=("owner",), method="operator")


class WhoAmI(rollout_pb2_grpc.RolloutControlServicer):
    """Lists who calls in place of models."""

    async def ListModels(self, _request: Any, context: Any) -> Any:
        who = caller(context)
        return rollout_pb2.ListModelsResponse(models=[who.principal, *who.roles])


@pytest.fixture
async def known() -> AsyncIterator[tuple[dict[str, Caller], Any]]:
    """Operators by token, and a stub of a server that knows them."""
    operators = {"slo_anna": ANNA}
    server = RpcServer(interceptors=(OperatorToken("stack", named=operators.get),))
    server.add(
        rollout_pb2_grpc.add_RolloutControlServicer_to_server, WhoAmI(), service="slipway.v1.RolloutControl"
    )
    port = server.server.add_insecure_port("127.0.0.1:0")
    await server.server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as channel:
        yield operators, rollout_pb2_grpc.RolloutControlStub(channel)
    await server.server.stop(0)


async def who(stub: Any, *metadata: tuple[str, str]) -> list[str]:
    answer = await stub.ListModels(rollout_pb2.ListModelsRequest(), metadata=metadata, timeout=10)
    return list(answer.models)


async def test_the_stacks_token_is_the_administrator(known: Any) -> None:
    assert await who(known[1], *operator_metadata("stack")) == ["operator", "admin"]


async def test_an_operators_own_token_is_he_and_nobody_once_it_is_revoked(known: Any) -> None:
    operators, stub = known
    assert await who(stub, *operator_metadata("slo_anna")) == ["anna", "owner"]
    del operators["slo_anna"]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await who(stub, *operator_metadata("slo_anna"))
    assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await who(stub, *operator_metadata("stack")) == ["operator", "admin"]


@pytest.mark.parametrize("authorization", ["", "stack", "Basic stack", "Bearer stac", "Bearer stack "])
async def test_nobody_else_comes_in(known: Any, authorization: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await who(known[1], ("authorization", authorization))
    assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_server_without_tokens_knows_no_caller() -> None:
    with pytest.raises(Unauthenticated):
        caller(None)
