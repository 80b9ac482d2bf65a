"""Operators by name, on the real service and database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from slipway import rpc
from slipway.rpc import operator_metadata
from slipway.v1 import rollout_pb2
from slipway.v1.operators_pb2 import AddOperatorRequest, ListOperatorsRequest, RevokeOperatorRequest
from slipway.v1.operators_pb2_grpc import OperatorAdminStub
from slipway.v1.rollout_pb2_grpc import RolloutControlStub
from tests.rollout import bench
from tests.rollout.bench import Bench, digest_of
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("operators")) as it:
        it.start()
        it.wait_ready()
        yield it


@dataclass(frozen=True, kw_only=True)
class Office:
    """A model, and the administration of operators."""

    it: Bench
    admin: Any
    control: Any

    async def add(self, *roles: str) -> tuple[str, Any]:
        """A new operator's name, and the metadata that he calls with."""
        name = "op-" + self.it.model.rpartition("-")[2]
        answer = await self.admin.AddOperator(
            AddOperatorRequest(name=name, roles=roles), metadata=self.it.metadata, timeout=10
        )
        return name, operator_metadata(answer.token)

    async def may_call(self, metadata: Any) -> bool:
        try:
            await self.control.ListModels(
                rollout_pb2.ListModelsRequest(), metadata=metadata, timeout=10, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return False
        return True


@pytest.fixture
async def office(service: ServiceProcess) -> AsyncIterator[Office]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        async with rpc.channel(f"127.0.0.1:{service.environment['SLIPWAY_GRPC_PORT']}") as channel:
            yield Office(it=around, admin=OperatorAdminStub(channel), control=RolloutControlStub(channel))


async def test_what_an_operator_does_stands_in_the_log_under_his_name(office: Office) -> None:
    name, own = await office.add("owner")
    await office.it.apply()
    request = rollout_pb2.StartRolloutRequest(
        model=office.it.model, version="1", digest=digest_of("1"), actor="somebody else"
    )
    await office.control.StartRollout(request, metadata=own, timeout=10)
    assert (await office.it.status()).events[-1].actor == name


async def test_the_stacks_own_token_may_speak_for_somebody(office: Office) -> None:
    await office.it.apply()
    await office.it.start("1")
    assert (await office.it.status()).events[-1].actor == "anna"


async def test_only_an_administrator_makes_operators(office: Office) -> None:
    _, own = await office.add("owner")
    for call, request in (
        (office.admin.AddOperator, AddOperatorRequest(name="mallory", roles=["admin"])),
        (office.admin.ListOperators, ListOperatorsRequest()),
        (office.admin.RevokeOperator, RevokeOperatorRequest(name="mallory")),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="role admin would allow it") as refusal:
            await call(request, metadata=own, timeout=10)
        assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_revoked_token_opens_nothing_and_its_name_is_free_again(office: Office) -> None:
    name, own = await office.add("owner")
    assert await office.may_call(own)
    await office.admin.RevokeOperator(
        RevokeOperatorRequest(name=name), metadata=office.it.metadata, timeout=10
    )
    assert not await office.may_call(own)
    again, new = await office.add("risk")
    assert (again, await office.may_call(new), await office.may_call(own)) == (name, True, False)
    listed = await office.admin.ListOperators(ListOperatorsRequest(), metadata=office.it.metadata, timeout=10)
    mine = [one for one in listed.operators if one.name == name]
    assert [(list(one.roles), one.HasField("revoked_at"), one.created_by) for one in mine] == [
        (["owner"], True, "operator"),
        (["risk"], False, "operator"),
    ]


async def test_what_another_process_revokes_is_seen_by_itself(office: Office) -> None:
    name, own = await office.add("owner")
    await office.it.database.execute("UPDATE operators SET revoked_at = now() WHERE name = $1", name)

    async def closed() -> bool:
        return not await office.may_call(own)

    await until("the token to open nothing", closed)


async def test_a_name_has_one_token_and_the_database_holds_none(office: Office) -> None:
    name, own = await office.add("owner")
    with pytest.raises(grpc.aio.AioRpcError, match=f"slipway operators revoke {name}") as refusal:
        await office.add("owner")
    assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    rows = await office.it.database.fetch("SELECT o::text AS row FROM operators o")
    token = own[0][1].removeprefix("Bearer ")
    assert [row["row"] for row in rows if token in row["row"]] == []


async def test_tokens_outlast_a_restart(office: Office, service: ServiceProcess) -> None:
    _, own = await office.add("owner")
    service.terminate()
    service.start()
    await asyncio.to_thread(service.wait_ready)
    assert await office.may_call(own)


async def test_an_approval_without_the_role_is_refused_with_those_who_could(office: Office) -> None:
    await office.it.promote_first()
    await office.it.apply(office.it.yaml().replace("min_rows: 20}, {", "min_rows: 0, approval: legal}, {", 1))
    await office.it.start("2")
    await office.it.reaches("CANARY")
    with pytest.raises(grpc.aio.AioRpcError, match="slipway operators add NAME --role legal") as refusal:
        await office.it.command("Approve", actor="anna")
    assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED
    name, own = await office.add("legal")
    with pytest.raises(grpc.aio.AioRpcError, match=f"these could: .*{name}"):
        await office.it.command("Approve", actor="anna")
    request = rollout_pb2.RolloutCommand(model=office.it.model, actor="anna", reason="seen")
    await office.control.Approve(request, metadata=own, timeout=10)
    events = (await office.it.status()).events
    assert [event.actor for event in events if event.trigger == "approve"] == [name]


async def test_who_started_a_version_does_not_approve_it(office: Office) -> None:
    await office.it.promote_first()
    await office.it.apply(office.it.yaml().replace("min_rows: 20}, {", "min_rows: 0, approval: owner}, {", 1))
    _, starter = await office.add("owner", "operator")
    request = rollout_pb2.StartRolloutRequest(model=office.it.model, version="2", digest=digest_of("2"))
    await office.control.StartRollout(request, metadata=starter, timeout=10)
    await office.it.reaches("CANARY")
    command = rollout_pb2.RolloutCommand(model=office.it.model)
    for verb in (office.control.Approve, office.control.Promote):
        with pytest.raises(grpc.aio.AioRpcError, match="forbidden by separation-of-duties") as refusal:
            await verb(command, metadata=starter, timeout=10)
        assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED
