"""The retrain trigger on the real Kafka and PostgreSQL, alone and behind drift detection."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc.aio
import pytest

from slipway.envelope import Outgoing, encode
from slipway.ids import new_id
from slipway.rpc import OPERATOR_TOKEN_FILE, operator_metadata
from slipway.topics import (
    CANDIDATES,
    DRIFT_ALARMS,
    DRIFT_BLOCKS,
    LABELS,
    PREDICTIONS,
    RETRAIN_REQUESTS,
    ROLLOUT_EVENTS,
)
from slipway.v1 import retraining_pb2_grpc
from slipway.v1.drift_pb2 import DriftDetected, DriftSignal
from slipway.v1.retraining_pb2 import (
    CandidateRejected,
    ExplainRequest,
    ExplainResponse,
    RetrainCause,
    RetrainDeclined,
    RetrainRequested,
)
from slipway.v1.rollout_pb2 import RolloutEvent
from tests.drift_detection.bench import Bench, bench, now
from tests.service_process import ServiceProcess, own_database, own_service, skip_history, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    group = f"test.trigger_{secrets.token_hex(4)}"
    folder = tmp_path_factory.mktemp("trigger")
    with (
        own_database("trigger") as dsn,
        own_service("retrain_trigger", folder, SLIPWAY_POSTGRES_DSN=dsn, SLIPWAY_CONSUMER_GROUP=group) as it,
    ):
        topics = [t.name for t in (DRIFT_ALARMS, LABELS, CANDIDATES, ROLLOUT_EVENTS)]
        asyncio.run(skip_history(it.bootstrap, group, topics))
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench(service.bootstrap, topics=(RETRAIN_REQUESTS.name,)) as clients:
        await clients.producer.publish([rollout(clients.model, "DONE")])
        yield clients


def rollout(model: str, to_state: str) -> Outgoing:
    event = RolloutEvent(model=model, tenant="default", to_state=to_state, champion_version="3")
    return encode(ROLLOUT_EVENTS.name, event, key=model, event_id=new_id(), source="test")


def alarm(model: str, signal: DriftSignal = DriftSignal.DRIFT_SIGNAL_CONCEPT) -> Outgoing:
    message = DriftDetected(
        alarm_id=new_id(),
        tenant="default",
        model=model,
        version="3",
        signal=signal,
        window_start=now(1_700_000_000.0),
        evidence="The error rose.",
    )
    return encode(DRIFT_ALARMS.name, message, key=model, event_id=message.alarm_id, source="test")


def rejected(model: str, request_id: str) -> Outgoing:
    message = CandidateRejected(request_id=request_id, tenant="default", model=model)
    return encode(CANDIDATES.name, message, key=model, event_id=new_id(), source="test")


def labels(it: Bench, count: int) -> list[Outgoing]:
    return [it.label(is_wrong=False, number=number) for number in range(count)]


async def explain(service: ServiceProcess, model: str, *, token: str | None = None) -> ExplainResponse:
    known = (Path(service.environment["SLIPWAY_SECRETS_DIR"]) / OPERATOR_TOKEN_FILE).read_text()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.environment['SLIPWAY_GRPC_PORT']}") as channel:
        stub = retraining_pb2_grpc.RetrainTriggerQueriesStub(channel)
        metadata = operator_metadata(known if token is None else token)
        answer: ExplainResponse = await stub.Explain(
            ExplainRequest(model=model), metadata=metadata, timeout=10
        )
        return answer


async def counted(service: ServiceProcess, model: str, rows: int) -> ExplainResponse:
    """The explanation once so many rows have come since the last training."""

    async def enough() -> ExplainResponse | None:
        try:
            answer = await explain(service, model)
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}:
                raise
            return None
        return answer if answer.rows_since_training >= rows else None

    answer: ExplainResponse = await until(f"{rows} rows since training", enough)
    return answer


async def test_a_concept_alarm_waits_for_labels_and_then_asks_for_a_training(
    service: ServiceProcess, it: Bench
) -> None:
    await it.producer.publish(labels(it, 20))
    await counted(service, it.model, 20)
    await it.producer.publish([alarm(it.model)])
    [declined] = await it.of_type(RetrainDeclined, 1)
    assert declined.message.reason.startswith("Only 20 new labels, 50 are needed.")
    await it.producer.publish(labels(it, 30))
    [event] = await it.of_type(RetrainRequested, 1)
    m = event.message
    assert (m.cause, m.tenant, m.actor) == (
        RetrainCause.RETRAIN_CAUSE_CONCEPT_DRIFT,
        "default",
        "retrain_trigger",
    )
    assert (m.evidence, m.drift_since.seconds, event.event_id) == (
        "The error rose.",
        1_700_000_000,
        m.request_id,
    )
    answer = await explain(service, it.model)
    assert (answer.requests, answer.declined, answer.open_request_id) == (1, 1, m.request_id)
    assert [line[20:39] for line in answer.lines] == ["requested (CONCEPT_", "declined (CONCEPT_D"]


async def test_a_rejection_doubles_the_cool_down(service: ServiceProcess, it: Bench) -> None:
    await it.producer.publish([*labels(it, 60)])
    await counted(service, it.model, 60)
    await it.producer.publish([alarm(it.model)])
    [event] = await it.of_type(RetrainRequested, 1)
    await it.producer.publish([rejected(it.model, event.message.request_id)])

    async def decided() -> ExplainResponse | None:
        answer = await explain(service, it.model)
        return answer if not answer.open_request_id else None

    answer = await until("the request is decided", decided)
    assert answer.cool_down_rows_left == 120


async def test_a_kill_in_the_middle_counts_nothing_twice(service: ServiceProcess, it: Bench) -> None:
    await it.producer.publish([rollout(it.model, "CANARY"), *labels(it, 150)])
    await counted(service, it.model, 1)
    service.kill()
    again = labels(it, 100)
    await it.producer.publish([*again, *again, it.label(is_wrong=True, revision=2)])
    service.start()
    service.wait_ready()
    assert (await counted(service, it.model, 250)).rows_since_training == 250
    await it.producer.publish([alarm(it.model), rollout(it.model, "DONE"), *labels(it, 1)])
    await it.of_type(RetrainRequested, 1)
    await counted(service, it.model, 0)
    assert len([e for e in await it.read() if isinstance(e.message, RetrainRequested)]) == 1


async def test_explaining_needs_the_operators_token_and_a_known_model(service: ServiceProcess) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await explain(service, "any", token="wrong")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await explain(service, "nobody-knows-it")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_forced_drift_ends_in_a_request_though_both_services_are_killed(
    service: ServiceProcess, it: Bench, tmp_path: Path
) -> None:
    app_id = f"slipway.drift_test_{secrets.token_hex(4)}"
    with own_service("drift_detection", tmp_path / "drift", SLIPWAY_DRIFT_APP_ID=app_id) as drift:
        sources = (PREDICTIONS.name, LABELS.name, DRIFT_BLOCKS.name)
        await skip_history(drift.bootstrap, app_id, sources)
        drift.start()
        await asyncio.to_thread(drift.wait_ready)
        calm = [it.label(is_wrong=n % 5 == 0, number=n) for n in range(200)]
        await it.producer.publish(calm)
        await counted(service, it.model, 100)
        drift.kill()
        service.kill()
        await it.producer.publish([it.label(is_wrong=n % 5 != 0, number=n) for n in range(200)])
        service.start()
        drift.start()
        await asyncio.to_thread(service.wait_ready)
        await asyncio.to_thread(drift.wait_ready)
        [event, *_] = await it.of_type(RetrainRequested, 1)
        assert event.message.cause == RetrainCause.RETRAIN_CAUSE_CONCEPT_DRIFT
        assert event.message.alarm_ids[0].startswith(f"{it.model}/3@1/CONCEPT/-/")
        assert event.message.evidence.startswith("The error rose from ")
        answer = await explain(service, it.model)
        assert answer.requests == 1


async def test_sigterm_drains(service: ServiceProcess) -> None:
    assert service.terminate() == 0
    service.start()
    service.wait_ready()
