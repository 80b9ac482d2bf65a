"""Drift detection on the real Kafka."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import grpc.aio
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.drift_detection.domain.monitor import ModelState
from services.drift_detection.store import MODEL_STATE
from slipway.envelope import Outgoing
from slipway.kafka_access import client_options
from slipway.topics import DRIFT_BLOCKS, LABELS, PREDICTIONS, dead_letter_topic
from slipway.v1.drift_pb2 import DriftCleared, DriftDetected, DriftSignal
from tests.drift_detection.bench import Bench, bench
from tests.service_process import ServiceProcess, own_service, skip_history, until

pytestmark = pytest.mark.integration

SOURCES = (PREDICTIONS.name, LABELS.name, DRIFT_BLOCKS.name)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    app_id = f"slipway.drift_test_{secrets.token_hex(4)}"
    folder = tmp_path_factory.mktemp("drift")
    with own_service("drift_detection", folder, SLIPWAY_DRIFT_APP_ID=app_id) as it:
        asyncio.run(skip_history(it.bootstrap, app_id, SOURCES))
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench(service.bootstrap) as clients:
        yield clients


def rows(it: Bench, count: int, *, code_a: int | None = None) -> list[Outgoing]:
    """Served rows; both features and the answers as in training, unless the code of one is given."""
    return [
        it.record(code_a=number % 2 if code_a is None else code_a, answer=str(number % 2))
        for number in range(count)
    ]


def labels(it: Bench, count: int, *, error_every: int) -> list[Outgoing]:
    """Matched labels, every so many of them of a wrong answer."""
    return [it.label(is_wrong=number % error_every == 0, number=number) for number in range(count)]


async def state_of(service: ServiceProcess, model: str) -> ModelState:
    """What the service has written last about a model: the newest value in its changelog."""
    topic = f"{service.environment['SLIPWAY_DRIFT_APP_ID']}-model_states-changelog"
    consumer = AIOKafkaConsumer(**client_options(service.bootstrap), enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(DRIFT_BLOCKS.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends, newest = await consumer.end_offsets(partitions), ModelState()
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.key == model.encode():
                        newest = MODEL_STATE.validate_json(record.value)
        return newest
    finally:
        await consumer.stop()


async def dead_letters(service: ServiceProcess, key: str) -> list[tuple[str, str]]:
    """Topic and reason of what this service set aside under a key."""
    topics = [dead_letter_topic(PREDICTIONS.name), dead_letter_topic(LABELS.name)]
    consumer = AIOKafkaConsumer(
        *topics, **client_options(service.bootstrap), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: list[tuple[str, str]] = []
    group = service.environment["SLIPWAY_DRIFT_APP_ID"]

    async def both() -> bool:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                headers = dict(record.headers)
                if record.key == key.encode() and headers["slipway_group"].decode() == group:
                    found.append((record.topic, headers["slipway_reason"].decode()))
        return len(found) >= 2

    try:
        await until("two dead letters", both)
        return found
    finally:
        await consumer.stop()


async def test_a_rise_of_the_error_is_an_alarm_and_a_kill_counts_nothing_twice(
    service: ServiceProcess, it: Bench
) -> None:
    await it.producer.publish(rows(it, 300) + labels(it, 300, error_every=5))
    await it.counted(200, 200)
    service.kill()
    await it.producer.publish(rows(it, 200) + labels(it, 200, error_every=1))
    service.start()
    service.wait_ready()
    sums = await it.counted(500, 500)
    assert sums == {"rows": 500, "labels": 500, "errors": 260, "codes": 1000, "answers": 500}

    alarms = [
        e for e in await it.of_type(DriftDetected, 1) if e.message.signal == DriftSignal.DRIFT_SIGNAL_CONCEPT
    ]
    first = alarms[0].message
    assert first.version == "3"
    assert first.tenant == "default"
    assert first.statistic_name in {"adwin", "page_hinkley"}
    assert first.window_start.ToNanoseconds() < first.window_end.ToNanoseconds()
    assert first.evidence.startswith("The error rose from")

    async def all_applied() -> ModelState | None:
        state = await state_of(service, it.model)
        counted = sum(b.labels for b in state.errors) + state.open_labels.labels
        return state if counted >= 500 else None

    state: ModelState = await until("500 labels in the state", all_applied)
    assert sum(b.labels for b in state.errors) + state.open_labels.labels == 500
    assert sum(b.errors for b in state.errors) + state.open_labels.errors == 260


async def test_a_shifted_feature_is_data_drift_and_nothing_else(it: Bench) -> None:
    await it.producer.publish(rows(it, 260, code_a=1))
    [event] = await it.of_type(DriftDetected, 1)
    m = event.message
    assert (m.signal, m.subject, m.statistic_name) == (DriftSignal.DRIFT_SIGNAL_DATA, "a", "jensen_shannon")
    assert m.statistic > m.threshold
    assert event.event_id == f"{m.alarm_id}/detected"


async def test_doubles_and_corrections_do_not_count_and_poison_stops_nothing(
    service: ServiceProcess, it: Bench
) -> None:
    first = rows(it, 20) + labels(it, 20, error_every=5)
    poison = Outgoing(topic=PREDICTIONS.name, key=it.model, value=b"\xff\xff", headers=first[0].headers)
    wrong = Outgoing(
        topic=LABELS.name, key=it.model, value=b"", headers=(("ce_type", b"slipway.v1.Nothing"),)
    )
    correction = it.label(is_wrong=True, revision=2)
    await it.producer.publish([*first, poison, wrong, *first, correction])
    last = rows(it, 5) + labels(it, 5, error_every=5)
    await it.producer.publish(last)
    assert await it.counted(25, 25) == {"rows": 25, "labels": 25, "errors": 5, "codes": 50, "answers": 25}
    letters = await dead_letters(service, key=it.model)
    assert sorted(topic for topic, _ in letters) == ["labels.dlq", "predictions.dlq"]
    assert all("slipway.v1" in reason for _, reason in letters)


async def test_a_new_champion_ends_the_alarms_of_the_old_one(it: Bench) -> None:
    await it.producer.publish(rows(it, 260, code_a=1))
    [raised] = await it.of_type(DriftDetected, 1)
    await it.declare(version="4", epoch=2)

    async def cleared() -> bool:
        await it.producer.publish([it.record(version="4")])
        return any(isinstance(e.message, DriftCleared) for e in await it.read())

    await until("the old alarm ends", cleared)
    [end] = [e for e in it.events if isinstance(e.message, DriftCleared)]
    assert end.message.alarm_id == raised.message.alarm_id
    assert end.message.evidence == "Version 4 serves now instead of version 3."


async def test_it_looks_like_every_service(service: ServiceProcess) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.environment['SLIPWAY_GRPC_PORT']}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_sigterm_drains(service: ServiceProcess) -> None:
    assert service.terminate() == 0
    service.start()
    service.wait_ready()
