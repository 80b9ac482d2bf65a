"""Role x route x tenant x transport on a real gateway and rollout service, generated from the routes."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import requests

from slipway import tokens
from slipway.policy.routes import GRPC, HTTP
from slipway.topics import FEEDBACK, PREDICTIONS
from slipway.v1.keys_pb2 import CreateKeyRequest, RevokeKeyRequest
from slipway.v1.rollout_pb2 import Arm
from tests.gateway import role_matrix
from tests.gateway.live import SERVING, Gateway, ends, prediction_id, read_since, upstream
from tests.gateway.role_calls import Place, by_grpc, by_rest
from tests.gateway.role_matrix import ROLES, Row
from tests.rollout import bench
from tests.service_process import ServiceProcess, free_port, own_database, own_service, until
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
OWN, OTHER = "default", "mall"
TENSOR: Final = {"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}
QUESTION: Final = [[0.25] * 6]
CACHED: Final = SERVING + ", cache_ttl_s: 600"
Cells = dict[tuple[str, str, str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A key for each role in each tenant, and what the tenant `default` has at both services."""

    keys: dict[tuple[str, str], str]
    place: Place


def made(stub: Any, gateway: Gateway, **fields: Any) -> Any:
    """A key of the principal `p`: one name in both tenants, so that nothing but the tenant differs."""
    asked = CreateKeyRequest(principal="p", **fields)
    return stub.CreateKey(asked, metadata=gateway.operator, timeout=10, wait_for_ready=True)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    port = free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_JOBS_TARGET=f"127.0.0.1:{free_port()}",
        ) as service,
        upstream(port, make_onnx(tmp_path_factory.mktemp("model"))),
    ):
        service.start()
        yield (
            Gateway(service=service, model=f"gw-matrix-{secrets.token_hex(4)}", serving=CACHED),
            f"127.0.0.1:{port}",
        )


@pytest.fixture(scope="module")
def rollout(
    gateway: tuple[Gateway, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    secrets_dir = gateway[0].service.environment["SLIPWAY_SECRETS_DIR"]
    with bench.rollout_service(
        tmp_path_factory.mktemp("rollout"), SLIPWAY_SECRETS_DIR=secrets_dir
    ) as service:
        service.start()
        yield service


@pytest.fixture
async def town(gateway: tuple[Gateway, str], rollout: ServiceProcess) -> AsyncIterator[Town]:
    it, target = gateway
    await asyncio.to_thread(it.service.wait_ready)
    await asyncio.to_thread(rollout.wait_ready)
    async with bench.bench(rollout) as around:
        await around.promote_first()
        yield await asyncio.to_thread(furnish, it, around, target)


def furnish(gateway: Gateway, around: bench.Bench, target: str) -> Town:
    with gateway.admin() as stub:
        keys = {
            (tenant, role): str(made(stub, gateway, tenant=tenant, roles=[role]).secret)
            for tenant in (OWN, OTHER)
            for role in ROLES
        }
        key_id = made(stub, gateway).info.key_id
        stub.RevokeKey(RevokeKeyRequest(key_id=key_id), metadata=gateway.operator, timeout=10)
    gateway.key = keys[OWN, "app"]
    gateway.publish(arm(target))
    gateway.wait_for_epoch()
    service, own = gateway.service.environment, around.service.environment
    place = Place(
        public=gateway.target,
        operators=f"127.0.0.1:{service['SLIPWAY_ADMIN_PORT']}",
        rollout=f"127.0.0.1:{own['SLIPWAY_GRPC_PORT']}",
        url=gateway.url,
        model=gateway.model,
        rolled_out=around.model,
        spec=around.yaml(),
        digest=bench.digest_of("1"),
        key_id=key_id,
    )
    submitted = requests.post(
        f"{gateway.url}/v1/jobs",
        json={"model_name": gateway.model, "inputs": [TENSOR]},
        headers={"authorization": f"Bearer {gateway.key}"},
        timeout=20,
    )
    return Town(keys=keys, place=replace(place, job=submitted.json()["job_id"]))


def arm(target: str) -> Arm:
    return Arm(version="1", digest="d" * 64, upstream=target, role="champion", weight_ppm=1_000_000)


def known_to_rollout(town: Town) -> bool:
    with grpc.insecure_channel(town.place.rollout) as channel:
        return all(
            by_grpc(
                channel,
                "/slipway.v1.RolloutControl/ListModels",
                place=town.place,
                credentials=f"Bearer {key}",
            )
            != "UNAUTHENTICATED"
            for key in town.keys.values()
        )


def callers(town: Town) -> dict[tuple[str, str], str]:
    """What each comes with; the last one with nothing."""
    return {who: f"Bearer {key}" for who, key in town.keys.items()} | {("", ""): ""}


def heard(town: Town) -> Cells:
    """Every caller on every route: (way, route, tenant, role) and what he is told."""
    place, cells = town.place, {}
    ports = {
        "public": (place.public, role_matrix.PUBLIC),
        "operators": (place.operators, role_matrix.OPERATORS),
        "rollout": (place.rollout, role_matrix.ROLLOUT),
    }
    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        for way, (target, rows) in ports.items():
            channel = stack.enter_context(grpc.insecure_channel(target))
            for route in rows:
                for (tenant, role), credentials in callers(town).items():
                    cells[way, route, tenant, role] = by_grpc(
                        channel, route, place=place, credentials=credentials
                    )
        for route in role_matrix.REST:
            for (tenant, role), credentials in callers(town).items():
                cells["rest", route, tenant, role] = by_rest(
                    session, route, place=place, credentials=credentials
                )
    return cells


def expected(row: Row, tenant: str, role: str) -> str:
    if not tenant:
        return row.own if row.is_open else "UNAUTHENTICATED"
    return row.expected(role, is_own=tenant == OWN)


def test_every_route_has_its_row() -> None:
    by_port = (role_matrix.PUBLIC, role_matrix.OPERATORS, role_matrix.ROLLOUT)
    listed = [route for rows in by_port for route in rows]
    here = {route for route in GRPC if route[1:].partition("/")[0] not in role_matrix.ELSEWHERE}
    assert sorted(listed) == sorted(here)
    assert set(role_matrix.REST) == set(HTTP)


async def test_every_role_is_told_on_every_route_what_the_table_says(town: Town) -> None:
    await until("the keys to be known", lambda: asyncio.to_thread(known_to_rollout, town))
    cells = await asyncio.to_thread(heard, town)
    rows = {
        **{("public", k): row for k, row in role_matrix.PUBLIC.items()},
        **{("operators", k): row for k, row in role_matrix.OPERATORS.items()},
        **{("rollout", k): row for k, row in role_matrix.ROLLOUT.items()},
        **{("rest", k): row for k, row in role_matrix.REST.items()},
    }
    table = {
        (way, route, tenant, role): expected(row, tenant, role)
        for (way, route), row in rows.items()
        for tenant, role in callers(town)
    }
    wrong = {cell: (said, table[cell]) for cell, said in cells.items() if said != table[cell]}
    assert wrong == {}
    assert set(cells) == set(table)
    assert len(cells) == len(rows) * (2 * len(ROLES) + 1)


def test_what_one_tenant_was_answered_is_of_no_use_to_another(gateway: tuple[Gateway, str]) -> None:
    own, target = gateway
    theirs = Gateway(service=own.service, model=f"{own.model}-of-{OTHER}", serving=own.serving, tenant=OTHER)
    own.service.wait_ready()
    with own.admin() as stub:
        for it in (own, theirs):
            it.key = made(stub, it, tenant=it.tenant, roles=["app"]).secret
            it.publish(arm(target))
            it.wait_for_epoch()
    since = ends(own.service.bootstrap, PREDICTIONS.name), ends(own.service.bootstrap, FEEDBACK.name)
    mine, again, other = own.infer(QUESTION), own.infer(QUESTION), theirs.infer(QUESTION)
    assert told(own, theirs.key, QUESTION) == "NOT_FOUND"
    context = contexts(own, since[0], mine, again, other)
    assert [context[prediction_id(it)].cache for it in (mine, again, other)] == ["", "local", ""]
    assert [context[prediction_id(it)].tenant for it in (mine, again, other)] == [OWN, OWN, OTHER]
    assert signed_by(own, theirs.key, since[1], prediction_id(mine)) == tokens.Owner(OTHER, "p")


def told(gateway: Gateway, key: str, rows: Any) -> str:
    """What another caller hears of the same question."""
    with pytest.raises(grpc.RpcError) as refusal:
        replace(gateway, key=key).infer(rows)
    return str(refusal.value.code().name)


def contexts(gateway: Gateway, since: Any, *answers: Any) -> dict[str, Any]:
    """Of the records of these answers."""
    wanted = {prediction_id(answer) for answer in answers}
    events = read_since(
        gateway.service.bootstrap, since, lambda events: wanted <= {event.event_id for event in events}
    )
    return {event.event_id: event.message.context for event in events if event.event_id in wanted}


def signed_by(gateway: Gateway, key: str, since: Any, prediction: str) -> tokens.Owner:
    """For whom feedback speaks that the bearer of the key gives on a prediction."""
    said = {"prediction_id": prediction, "label": "1"}
    requests.post(
        f"{gateway.url}/v1/feedback", json=said, headers={"authorization": f"Bearer {key}"}, timeout=20
    ).raise_for_status()
    events = read_since(
        gateway.service.bootstrap, since, lambda events: any(event.key == prediction for event in events)
    )
    item = next(event.message for event in events if event.key == prediction)
    secret = Path(gateway.service.environment["SLIPWAY_SECRETS_DIR"], tokens.SECRET_FILE).read_bytes()
    return tokens.verify(secret, item.feedback_token, subject=prediction)
