"""Who commands rollouts: by an API key with roles, on the real service, told of on the real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from slipway import rpc
from slipway.policy.access import builtin_policies
from slipway.rpc import operator_metadata
from slipway.v1 import rollout_pb2
from slipway.v1.identities_pb2 import IdentityChanged
from slipway.v1.rollout_pb2_grpc import RolloutControlStub
from tests.identity.told import ToldKeys, message_of, revoked
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


@dataclass(kw_only=True)
class Office:
    """A model, and people with keys."""

    it: Bench
    control: Any
    keys: ToldKeys
    told: IdentityChanged = field(default_factory=IdentityChanged)

    async def tell(self, told: IdentityChanged) -> None:
        out = message_of(told)
        await self.it.producer.send_and_wait(
            out.topic, out.value, key=out.key.encode(), headers=list(out.headers)
        )

    async def add(self, *roles: str) -> tuple[str, Any]:
        """A new operator's name, and the metadata that he calls with."""
        name = "op-" + self.it.model.rpartition("-")[2]
        text, self.told = self.keys.make(name, *roles)
        await self.tell(self.told)
        own = operator_metadata(text)
        await until("the key to be known", lambda: self.is_known(own))
        return name, own

    async def is_known(self, metadata: Any) -> bool:
        return await self.answer_of(metadata) is not grpc.StatusCode.UNAUTHENTICATED

    async def answer_of(self, metadata: Any) -> grpc.StatusCode:
        try:
            await self.control.ListModels(
                rollout_pb2.ListModelsRequest(), metadata=metadata, timeout=10, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@pytest.fixture
async def office(service: ServiceProcess) -> AsyncIterator[Office]:
    keys = ToldKeys(Path(service.environment["SLIPWAY_SECRETS_DIR"]))
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        async with rpc.channel(f"127.0.0.1:{service.environment['SLIPWAY_GRPC_PORT']}") as channel:
            office = Office(it=around, control=RolloutControlStub(channel), keys=keys)
            yield office
            await around.producer.send_and_wait("identities", None, key=office.told.key_id.encode())


async def test_what_an_operator_does_stands_in_the_log_under_his_name(office: Office) -> None:
    name, own = await office.add("owner")
    await office.it.apply()
    request = rollout_pb2.StartRolloutRequest(
        model=office.it.model, version="1", digest=digest_of("1"), actor="somebody else"
    )
    await office.control.StartRollout(request, metadata=own, timeout=10)
    *followed, first = (await office.it.reaches("DONE")).events
    assert (first.actor, len(first.decision_id)) == (name, 32)
    assert first.policy_hash == builtin_policies().policy_hash
    assert {(event.actor, event.decision_id, event.policy_hash) for event in followed} == {
        ("rollout", "", "")
    }


async def test_a_start_that_waited_carries_the_decision_of_who_asked_for_it(office: Office) -> None:
    name, own = await office.add("owner")
    await office.it.promote_first()
    await office.it.start("2")
    await office.it.reaches("CANARY")
    request = rollout_pb2.StartRolloutRequest(model=office.it.model, version="3", digest=digest_of("3"))
    await office.control.StartRollout(request, metadata=own, timeout=10)
    candidate = await office.it.database.fetchrow(
        "SELECT * FROM candidates WHERE model = $1 AND state = 'WAITING'", office.it.model
    )
    assert (candidate["version"], candidate["actor"], len(candidate["decision_id"])) == ("3", name, 32)
    aborted = await office.it.abort()
    assert len(aborted.events[0].decision_id) == 32
    assert aborted.events[0].decision_id != candidate["decision_id"]


async def test_the_stacks_own_token_may_speak_for_somebody(office: Office) -> None:
    await office.it.apply()
    await office.it.start("1")
    assert (await office.it.status()).events[-1].actor == "anna"


async def test_an_applications_key_commands_nothing(office: Office) -> None:
    _, own = await office.add("app")
    await office.it.apply()
    command = rollout_pb2.RolloutCommand(model=office.it.model, reason="curiosity")
    with pytest.raises(grpc.aio.AioRpcError, match="would allow it") as refusal:
        await office.control.Abort(command, metadata=own, timeout=10)
    assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_key_outlasts_a_restart_and_opens_nothing_once_it_is_revoked(
    office: Office, service: ServiceProcess
) -> None:
    _, own = await office.add("owner")
    service.terminate()
    service.start()
    await asyncio.to_thread(service.wait_ready)
    assert await office.answer_of(own) is grpc.StatusCode.OK
    await office.tell(revoked(office.told))

    async def closed() -> bool:
        return not await office.is_known(own)

    await until("the key to open nothing", closed)


async def test_an_approval_without_the_role_is_refused_with_those_who_could(office: Office) -> None:
    await office.it.promote_first()
    await office.it.apply(office.it.yaml().replace("min_rows: 20}, {", "min_rows: 0, approval: legal}, {", 1))
    await office.it.start("2")
    await office.it.reaches("CANARY")
    with pytest.raises(grpc.aio.AioRpcError, match="slipway keys create NAME --role legal") as refusal:
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
