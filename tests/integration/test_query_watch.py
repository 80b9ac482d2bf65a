"""The query watch on the real Kafka and PostgreSQL: a thief is suspected once, and an operator clears it."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer
from numpy.typing import NDArray

from slipway import kafka, profiles
from slipway.envelope import Outgoing, encode
from slipway.ids import new_id
from slipway.kafka_access import client_options
from slipway.kafka_records import decode_record
from slipway.rpc import OPERATOR_TOKEN_FILE, operator_metadata
from slipway.stats.profile import numeric_profile
from slipway.tensors import to_tensor
from slipway.topics import EXTRACTION_ALARMS, MODEL_SPECS, PREDICTIONS, ROUTES
from slipway.v1 import extraction_pb2_grpc
from slipway.v1.extraction_pb2 import ClearSuspectRequest, ListSuspectsRequest
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.rollout_pb2 import ModelSpec, RouteTable
from tests.service_process import ServiceProcess, own_database, own_service, skip_history, until

pytestmark = pytest.mark.integration

MODEL = f"watched-{secrets.token_hex(4)}"
FEATURES = 6
SPEC = (
    f"name: {MODEL}\ntask: binary\nfeatures:\n"
    + "".join(f"  - {{name: f{at}}}\n" for at in range(FEATURES))
    + 'label: {name: y, classes: ["0", "1"]}\n'
)


def training_rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Rows that lie near a line: features of real tables go together."""
    rng = np.random.default_rng(seed)
    along = rng.normal(size=(count, 1))
    return (along + 0.1 * rng.normal(size=(count, FEATURES))).astype(np.float32)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    group = f"test.query_watch_{secrets.token_hex(4)}"
    folder = tmp_path_factory.mktemp("watch")
    with (
        own_database("watch") as dsn,
        own_service("query_watch", folder, SLIPWAY_POSTGRES_DSN=dsn, SLIPWAY_CONSUMER_GROUP=group) as it,
    ):
        asyncio.run(skip_history(it.bootstrap, group, [PREDICTIONS.name]))
        asyncio.run(publish(it.bootstrap, [declared(), routed()]))
        it.start()
        it.wait_ready()
        yield it


def declared() -> Outgoing:
    spec = ModelSpec(name=MODEL, tenant="default", revision=1, yaml=SPEC)
    return encode(MODEL_SPECS.name, spec, key=MODEL, event_id=new_id(), source="test")


def routed() -> Outgoing:
    table = RouteTable(model=MODEL, tenant="default", epoch=1)
    arm = table.arms.add(version="1", role="champion", weight_ppm=1_000_000)
    for at, column in enumerate(training_rows(400).T):
        arm.profile.features.append(profiles.to_proto(numeric_profile(f"f{at}", column)))
    return encode(ROUTES.name, table, key=MODEL, event_id=new_id(), source="test")


def asked(principal: str, rows: NDArray[np.float32]) -> list[Outgoing]:
    messages = []
    for row in rows:
        record = PredictionServed()
        record.context.prediction_id = new_id()
        record.context.tenant, record.context.principal = "default", principal
        record.context.model, record.context.version, record.context.rows = MODEL, "1", 1
        record.context.served_at.GetCurrentTime()
        record.payload.inputs.append(to_tensor("features", row[None]))
        record.payload.outputs.append(to_tensor("probabilities", np.array([[0.1, 0.9]], dtype=np.float32)))
        key = record.context.prediction_id
        messages.append(encode(PREDICTIONS.name, record, key=key, event_id=key, source="test"))
    return messages


async def publish(bootstrap: str, messages: list[Outgoing]) -> None:
    async with kafka.producer(bootstrap) as producer:
        await producer.publish(messages)


async def said(bootstrap: str) -> list[Any]:
    """All that the topic holds about the model."""
    consumer = AIOKafkaConsumer(
        EXTRACTION_ALARMS.name, **client_options(bootstrap), auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await consumer.seek_to_beginning()
        [(partition, end)] = (await consumer.end_offsets(consumer.assignment())).items()
        found = []
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=200)).get(partition, []):
                found.append(decode_record(record).message)
        return [message for message in found if message.model == MODEL]
    finally:
        await consumer.stop()


async def rows_watched(service: ServiceProcess) -> int:
    """Rows that the service has counted, of all callers."""
    connection = await asyncpg.connect(service.environment["SLIPWAY_POSTGRES_DSN"])
    try:
        found = await connection.fetchval("SELECT coalesce(sum(next_offset), 0) FROM positions")
        return int(found)
    finally:
        await connection.close()


async def test_a_thief_is_suspected_once_and_cleared_by_an_operator(service: ServiceProcess) -> None:
    thief = np.random.default_rng(2).uniform(-4, 4, size=(60, FEATURES)).astype(np.float32)
    await publish(service.bootstrap, asked("honest", training_rows(150, seed=3)) + asked("thief", thief))
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{service.environment['SLIPWAY_GRPC_PORT']}")
    token = (Path(service.environment["SLIPWAY_SECRETS_DIR"]) / OPERATOR_TOKEN_FILE).read_text()
    how = {"metadata": operator_metadata(token), "timeout": 10}
    async with channel:
        stub = extraction_pb2_grpc.QueryWatchStub(channel)

        async def suspects() -> list[Any]:
            return list((await stub.ListSuspects(ListSuspectsRequest(model=MODEL), **how)).suspects)

        [alarm] = await until("a suspicion", suspects)
        assert (alarm.principal, alarm.signal) == ("thief", "new_ground")
        assert alarm.statistic > alarm.threshold
        assert alarm.since.seconds <= alarm.suspected_at.seconds
        assert "lie apart from all it asked before" in alarm.evidence
        service.kill()  # what it had counted stays counted, and nothing is said twice
        service.start()
        service.wait_ready()
        counted = await rows_watched(service)
        await publish(service.bootstrap, asked("thief", thief))
        await until("the batch after", lambda: _beyond(service, counted + len(thief)))
        assert {message.alarm_id for message in await said(service.bootstrap)} == {alarm.alarm_id}
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ClearSuspect(ClearSuspectRequest(alarm_id=alarm.alarm_id, model=MODEL), **how)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await stub.ClearSuspect(
            ClearSuspectRequest(alarm_id=alarm.alarm_id, model=MODEL, reason="a stress test"), **how
        )
        assert await suspects() == []
        last = (await said(service.bootstrap))[-1]
        assert (last.cleared_by, last.reason) == ("operator", "a stress test")
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.ClearSuspect(
                ClearSuspectRequest(alarm_id=alarm.alarm_id, model=MODEL, reason="again"), **how
            )
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def _beyond(service: ServiceProcess, counted: int) -> bool:
    return await rows_watched(service) >= counted
