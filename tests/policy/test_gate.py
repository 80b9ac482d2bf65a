"""The gate before control RPCs, on a real server: who comes in with which role, and what he is told."""

from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from slipway import rpc
from slipway.errors import Denied, Unauthenticated
from slipway.identity.api_keys import SERVICES
from slipway.identity.caller import STACK_OPERATOR, Caller
from slipway.identity.callers import Callers
from slipway.identity.credentials import Credentials
from slipway.policy.access import builtin_policies
from slipway.policy.gate import PolicyGate
from slipway.policy.resource import Resource
from slipway.policy.routes import GRPC, By
from slipway.rpc import RpcServer, operator_metadata
from slipway.v1 import feedback_pb2 as fb
from slipway.v1 import (
    feedback_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    retraining_pb2_grpc,
)
from slipway.v1 import retraining_pb2 as pb

MODELS = {name: Resource(tenant=tenant, model=name) for name, tenant in (("m", "shop"), ("o", "mall"))}
CALLERS = {
    f"{tenant}-{role}": Caller(principal="anna", tenant=tenant, roles=(role,), method="api_key")
    for tenant in ("shop", "mall")
    for role in ("viewer", "operator", "owner", "admin")
}


class Known:
    """Recognises the callers above by their names, and the stack's operator."""

    def identify(self, credentials: Credentials) -> Caller:
        token = credentials.authorization.removeprefix("Bearer ")
        if token == "stack":
            return STACK_OPERATOR
        if token not in CALLERS:
            raise Unauthenticated("nobody")
        return CALLERS[token]


class Training(retraining_pb2_grpc.RetrainingControlServicer):
    async def RegisterDataset(self, request_iterator: Any, _context: Any) -> Any:
        names = [chunk.name async for chunk in request_iterator]
        return pb.RegisterDatasetResponse(dataset_id=",".join(names), rows=len(names))

    async def Train(self, request: pb.TrainModelRequest, _context: Any) -> Any:
        for stage in ("queued", "fit"):
            yield pb.TrainModelProgress(stage=stage, message=request.model)

    async def GetTrainingStatus(self, request: pb.TrainingStatusRequest, _context: Any) -> Any:
        return pb.TrainingStatusResponse(stage=request.model)


class Keys(keys_pb2_grpc.KeyAdminServicer):
    async def CreateKey(self, request: keys_pb2.CreateKeyRequest, _context: Any) -> Any:
        return keys_pb2.CreateKeyResponse(secret=request.tenant)


class Summaries(feedback_pb2_grpc.FeedbackQueriesServicer):
    async def Summarize(self, _request: Any, _context: Any) -> Any:
        return fb.SummarizeFeedbackResponse(predictions=7)


class Directory(inference_pb2_grpc.InferenceDirectoryServicer):
    async def GetVersion(self, request: Any, _context: Any) -> Any:
        return inference_pb2.VersionEndpoints(model=request.model)


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    gate = PolicyGate(builtin_policies(), find=MODELS.get)
    server = RpcServer(interceptors=(Callers(Known()), gate))
    add: Any = server.add
    grpc_of: Any = retraining_pb2_grpc
    add(grpc_of.add_RetrainingControlServicer_to_server, Training(), service="slipway.v1.RetrainingControl")
    add(keys_pb2_grpc.add_KeyAdminServicer_to_server, Keys(), service="slipway.v1.KeyAdmin")
    queries = feedback_pb2_grpc.add_FeedbackQueriesServicer_to_server
    add(queries, Summaries(), service="slipway.v1.FeedbackQueries")
    directory = inference_pb2_grpc.add_InferenceDirectoryServicer_to_server
    add(directory, Directory(), service="slipway.v1.InferenceDirectory")
    port = server.server.add_insecure_port("127.0.0.1:0")
    await server.server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as it:
        yield it
    await server.server.stop(0)


async def told(call: Any) -> str:
    """OK, or the code of the refusal."""
    try:
        if hasattr(call, "__aiter__"):
            assert [reply async for reply in call]
        else:
            assert await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


def how(who: str) -> dict[str, Any]:
    return {"metadata": operator_metadata(who), "timeout": 10}


DENIED, UNKNOWN = "PERMISSION_DENIED", "NOT_FOUND"


@pytest.mark.parametrize(
    ("who", "own", "expected"),
    [
        # status, train, register, create a key
        ("shop-viewer", "m", ("OK", DENIED, DENIED, DENIED)),
        ("shop-operator", "m", ("OK", "OK", DENIED, DENIED)),
        ("shop-owner", "m", ("OK", "OK", "OK", DENIED)),
        ("shop-admin", "m", ("OK", "OK", "OK", "OK")),
        ("mall-admin", "m", (UNKNOWN, UNKNOWN, UNKNOWN, DENIED)),
        ("mall-owner", "m", (UNKNOWN, UNKNOWN, UNKNOWN, DENIED)),
        ("shop-admin", "o", (UNKNOWN, UNKNOWN, UNKNOWN, "OK")),
        ("shop-admin", "none", (UNKNOWN, UNKNOWN, UNKNOWN, "OK")),
        ("stack", "m", ("OK", "OK", "OK", "OK")),
        ("stack", "o", ("OK", "OK", "OK", "OK")),
    ],
)
async def test_every_kind_of_call_is_asked_before_its_handler(
    channel: grpc.aio.Channel, who: str, own: str, expected: tuple[str, ...]
) -> None:
    control: Any = retraining_pb2_grpc.RetrainingControlStub(channel)
    keys: Any = keys_pb2_grpc.KeyAdminStub(channel)

    async def chunks() -> AsyncIterator[pb.DatasetChunk]:
        yield pb.DatasetChunk(model=own, name="a")
        yield pb.DatasetChunk(name="b")

    found = (
        await told(control.GetTrainingStatus(pb.TrainingStatusRequest(model=own), **how(who))),
        await told(control.Train(pb.TrainModelRequest(model=own), **how(who))),
        await told(control.RegisterDataset(chunks(), **how(who))),
        await told(keys.CreateKey(keys_pb2.CreateKeyRequest(principal="x", tenant="shop"), **how(who))),
    )
    assert found == expected


async def test_another_tenants_model_and_none_at_all_are_told_in_the_same_words(channel: Any) -> None:
    control: Any = retraining_pb2_grpc.RetrainingControlStub(channel)
    said = []
    for model in ("o", "none"):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await control.GetTrainingStatus(pb.TrainingStatusRequest(model=model), **how("shop-admin"))
        said.append(str(refusal.value.details()).replace(repr(model), "_"))
    assert said[0] == said[1]


async def test_the_handler_gets_the_whole_stream(channel: Any) -> None:
    control: Any = retraining_pb2_grpc.RetrainingControlStub(channel)

    async def chunks() -> AsyncIterator[pb.DatasetChunk]:
        for name in "abc":
            yield pb.DatasetChunk(model="m", name=name)

    answer = await control.RegisterDataset(chunks(), **how("shop-owner"))
    assert (answer.dataset_id, answer.rows) == ("a,b,c", 3)


async def test_a_stream_that_says_nothing_is_denied(channel: Any) -> None:
    control: Any = retraining_pb2_grpc.RetrainingControlStub(channel)

    async def nothing() -> AsyncIterator[pb.DatasetChunk]:
        no_chunks: list[pb.DatasetChunk] = []
        for chunk in no_chunks:
            yield chunk

    assert await told(control.RegisterDataset(nothing(), **how("shop-owner"))) == DENIED


async def test_what_belongs_to_all_tenants_is_for_the_stack_alone(channel: Any) -> None:
    queries: Any = feedback_pb2_grpc.FeedbackQueriesStub(channel)
    directory: Any = inference_pb2_grpc.InferenceDirectoryStub(channel)
    asked = inference_pb2.GetVersionRequest(model="m", version="1")
    for who, expected in (("shop-admin", DENIED), ("stack", "OK")):
        assert await told(queries.Summarize(fb.SummarizeFeedbackRequest(), **how(who))) == expected
        assert await told(directory.GetVersion(asked, **how(who))) == expected
    assert await told(queries.Summarize(fb.SummarizeFeedbackRequest(model="m"), **how("shop-viewer"))) == "OK"


async def test_who_is_nobody_is_not_asked_what_he_may_do(channel: Any) -> None:
    queries: Any = feedback_pb2_grpc.FeedbackQueriesStub(channel)
    assert (
        await told(queries.Summarize(fb.SummarizeFeedbackRequest(model="m"), timeout=10)) == "UNAUTHENTICATED"
    )


def test_a_service_makes_the_calls_that_name_it_and_no_other() -> None:
    gate, request = PolicyGate(builtin_policies(), find=MODELS.get), SimpleNamespace(model="m", tenant="shop")
    made = set()
    for method, route in GRPC.items():
        for name in SERVICES if route.by not in (By.NOBODY, By.HANDLER) else ():
            who = Caller(principal=name, tenant="default", roles=("service",), method="service")
            with suppress(Denied):
                gate.check(route, request, who)
                made.add((name, method.removeprefix("/slipway.v1.")))
    assert made == {
        ("rollout", "InferenceDirectory/GetVersion"),
        ("gateway", "InferenceDirectory/WatchEndpoints"),
        ("gateway", "JobDesk/Find"),
        ("gateway", "JobDesk/Cancel"),
        ("gateway", "JobDesk/DeriveCallbackSecret"),
        ("jobs", "TrustedInference/Infer"),
    }
