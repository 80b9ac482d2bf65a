"""The rollout service as a process of its own: real Kafka and PostgreSQL, a database of its own.

Replicas are what the test says they are: a small InferenceDirectory stands in for the inference service.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from slipway import envelope, tensors
from slipway.ids import new_id
from slipway.kafka_access import client_options
from slipway.rpc import operator_metadata
from slipway.v1 import inference_pb2, inference_pb2_grpc, predictions_pb2, retraining_pb2, rollout_pb2
from slipway.v1.rollout_pb2_grpc import RolloutControlStub
from slipway.v1.tensors_pb2 import Payload
from tests.identity.told import ToldKeys, message_of
from tests.rollout.empty_registry import empty_registry
from tests.service_process import ServiceProcess, free_port, own_database, own_service, skip_history, until

SPEC = """
name: {name}
task: binary
features: [{{name: a}}, {{name: b}}]
label: {{name: y, classes: ["0", "1"]}}
rollout:
  steps: [{{weight_percent: 10, min_rows: 20}}, {{weight_percent: 50, min_rows: 20}}]
  bake_rows: 20
  warm_deadline_s: {warm_deadline_s}
  deadline_s: {deadline_s}
"""

# Who was killed is back soon.
_RECONNECT = [(f"grpc.{word}_reconnect_backoff_ms", 100) for word in ("initial", "min", "max")]


class Replicas(inference_pb2_grpc.InferenceDirectoryServicer):
    """An inference service whose replicas get ready when the test says so."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], tuple[str, str]] = {}
        self.silent: set[tuple[str, str]] = set()  # nobody gets an answer about these
        self.digests: dict[tuple[str, str], str] = {}
        self.is_ready_by_default = True

    async def GetVersion(self, request: Any, _context: Any) -> inference_pb2.VersionEndpoints:
        if (request.model, request.version) in self.silent:
            await asyncio.get_running_loop().create_future()
        default = ("READY", "") if self.is_ready_by_default else ("LOADING", "")
        state, message = self.states.get((request.model, request.version), default)
        return inference_pb2.VersionEndpoints(
            model=request.model,
            version=request.version,
            digest=self.digests.get((request.model, request.version), digest_of(request.version)),
            state=state,
            message=message,
        )


def digest_of(version: str) -> str:
    return f"{int(version):064x}"


@contextmanager
def rollout_service(folder: Path, **settings: str) -> Iterator[ServiceProcess]:
    """A rollout service with a fresh database and fresh secrets; both are gone at the end."""
    group = f"test.rollout.{secrets.token_hex(4)}"
    with own_database("rollout") as dsn, empty_registry() as registry:
        own = {
            "SLIPWAY_MLFLOW_URL": registry,
            "SLIPWAY_POSTGRES_DSN": dsn,
            "SLIPWAY_INFERENCE_TARGET": f"127.0.0.1:{free_port()}",
            "SLIPWAY_CONSUMER_GROUP": group,
            "SLIPWAY_INSTANCE": "test",  # after a kill it takes its own place in its groups at once
            "SLIPWAY_LEASE_S": "1.0",
            **settings,
        }
        with own_service("rollout", folder, **(own | settings)) as service:
            for topic in ("predictions", "candidates", "labels", "shadow_predictions"):
                asyncio.run(skip_history(service.bootstrap, f"{group}.{topic}", [topic]))
            yield service


@dataclass(kw_only=True)
class Bench:
    """What operators, gateways and retraining do around the service, for one model."""

    service: ServiceProcess
    model: str
    replicas: Replicas
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    stub: Any
    metadata: Any
    database: Any
    events: list[rollout_pb2.RolloutEvent] = field(default_factory=list)
    tables: list[rollout_pb2.RouteTable] = field(default_factory=list)
    specs: list[rollout_pb2.ModelSpec] = field(default_factory=list)
    recorded: int = 0  # predictions and copies in the topics

    def yaml(self, *, warm_deadline_s: float = 60, deadline_s: float = 60) -> str:
        return SPEC.format(name=self.model, warm_deadline_s=warm_deadline_s, deadline_s=deadline_s)

    async def apply(self, yaml: str | None = None, *, recipe: str = "") -> Any:
        request = rollout_pb2.ApplySpecRequest(yaml=yaml or self.yaml(), recipe=recipe, actor="anna")
        return await self._call(self.stub.ApplySpec, request)

    async def start(self, version: str, *, rivals: tuple[str, ...] = ()) -> Any:
        request = rollout_pb2.StartRolloutRequest(
            model=self.model,
            version=version,
            digest=digest_of(version),
            actor="anna",
            rivals=[f"{rival}@{digest_of(rival)}" for rival in rivals],
        )
        return await self._call(self.stub.StartRollout, request)

    async def command(self, verb: str, *, actor: str = "anna", reason: str = "") -> Any:
        """One of Abort, Rollback, Pause, Resume, Promote, Approve."""
        request = rollout_pb2.RolloutCommand(model=self.model, actor=actor, reason=reason)
        return await self._call(getattr(self.stub, verb), request)

    async def operator(self, role: str) -> Any:
        """What somebody with this role calls with."""
        secrets_dir = Path(self.service.environment["SLIPWAY_SECRETS_DIR"])
        text, told = ToldKeys(secrets_dir).make(f"{role}-{secrets.token_hex(4)}", role)
        out = message_of(told)
        await self.producer.send_and_wait(
            out.topic, out.value, key=out.key.encode(), headers=list(out.headers)
        )
        own = operator_metadata(text)
        await until("the key to be known", lambda: self._is_known(own))
        return own

    async def _is_known(self, metadata: Any) -> bool:
        request = rollout_pb2.ListModelsRequest()
        try:
            await self.stub.ListModels(request, metadata=metadata, timeout=10, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return error.code() is not grpc.StatusCode.UNAUTHENTICATED
        return True

    async def abort(self) -> Any:
        return await self.command("Abort")

    async def rollback(self) -> Any:
        return await self.command("Rollback")

    async def status(self) -> Any:
        return await self._call(
            self.stub.GetStatus, rollout_pb2.RolloutStatusRequest(model=self.model, events=50)
        )

    async def _call(self, method: Any, request: Any) -> Any:
        return await method(request, metadata=self.metadata, timeout=10, wait_for_ready=True)

    async def reaches(self, state: str, *, after_seq: int = 0) -> Any:
        """Wait until the newest event leads to `state`; returns the status."""

        async def check() -> Any:
            status = await self.status()
            newest = status.events[0] if status.events else rollout_pb2.RolloutEvent()
            return status if newest.to_state == state and newest.seq > after_seq else None

        return await until(f"{self.model} to be {state}", check)

    async def promote_first(self) -> Any:
        await self.apply()
        await self.start("1")
        return await self.reaches("DONE")

    async def bless(self, version: str) -> None:
        message = retraining_pb2.CandidateBlessed(
            model=self.model, version=version, digest=digest_of(version), window="all"
        )
        await self._publish("candidates", message, key=self.model)

    async def serve(self, rows: int, *, version: str, epoch: int, label: str = "") -> None:
        """Records of requests that a version answered; the classes alternate unless one is given."""
        for at in range(rows):
            message = predictions_pb2.PredictionServed(
                context=self._context(version, epoch), payload=_payload(label or str(at % 2))
            )
            await self._publish("predictions", message, key=message.context.prediction_id)
            self.recorded += 1

    async def fail(self, requests_failed: int, *, version: str, epoch: int) -> None:
        for _ in range(requests_failed):
            message = predictions_pb2.PredictionFailed(
                context=self._context(version, epoch), code="INTERNAL", message="boom"
            )
            await self._publish("predictions", message, key=message.context.prediction_id)
            self.recorded += 1

    async def shadow(self, rows: int, *, version: str, epoch: int, code: str = "") -> None:
        """Requests that version 1 answered, each with the record of its copy; `code`: how the copy failed."""
        for at in range(rows):
            context = self._context("1", epoch)
            served = predictions_pb2.PredictionServed(context=context, payload=_payload(str(at % 2)))
            await self._publish("predictions", served, key=context.prediction_id)
            await self._copy(context, version, label=str(at % 2), code=code)
            self.recorded += 2

    async def copies(self, rows: int, *, version: str, epoch: int, code: str = "") -> None:
        """Records of copies alone; those of the requests themselves are still on their way."""
        for at in range(rows):
            await self._copy(self._context("1", epoch), version, label=str(at % 2), code=code)
            self.recorded += 1

    async def _copy(
        self, context: predictions_pb2.PredictionContext, version: str, *, label: str, code: str
    ) -> None:
        copy = predictions_pb2.PredictionShadowed(
            context=context,
            version=version,
            digest=digest_of(version),
            latency_s=0.01,
            payload=None if code else _payload(label),
            served=[label],
            code=code,
        )
        await self._publish("shadow_predictions", copy, key=context.prediction_id)

    async def pass_step(self, status: Any, rows: int = 20) -> None:
        """Traffic of both arms under the present routes."""
        epoch = status.routes.epoch
        serving = [arm.version for arm in status.routes.arms if arm.weight_ppm]
        await self.serve(2, version=serving[0], epoch=epoch)
        await self.serve(rows - 2, version=serving[-1], epoch=epoch)

    def _context(self, version: str, epoch: int) -> predictions_pb2.PredictionContext:
        return predictions_pb2.PredictionContext(
            prediction_id=new_id(),
            model=self.model,
            version=version,
            route_epoch=epoch,
            rows=1,
            latency_s=0.01,
        )

    async def _publish(self, topic: str, message: Any, *, key: str) -> None:
        out = envelope.encode(topic, message, key=key, event_id=new_id(), source="test")
        await self.producer.send_and_wait(topic, out.value, key=key.encode(), headers=list(out.headers))

    async def put_routes(self, table: rollout_pb2.RouteTable) -> None:
        """A route table as somebody else publishes it."""
        await self._publish("routes", table, key=self.model)

    async def collect(self) -> None:
        """Read what is new in the topics that rollout writes."""
        for records in (await self.reader.getmany(timeout_ms=50)).values():
            for r in records:
                if r.value is None or (r.key or b"").decode() != self.model:
                    continue
                event = envelope.decode(r.topic, key=r.key, value=r.value, headers=r.headers)
                kept: dict[str, list[Any]] = {
                    "rollout_events": self.events,
                    "routes": self.tables,
                    "model_specs": self.specs,
                }
                kept[r.topic].append(event.message)

    async def published(self, epoch: int) -> rollout_pb2.RouteTable:
        """The route table of an epoch, once it is on Kafka."""

        async def check() -> Any:
            await self.collect()
            return next((t for t in self.tables if t.epoch == epoch), None)

        table: rollout_pb2.RouteTable = await until(f"routes of epoch {epoch}", check)
        return table


def _payload(label: str) -> Payload:
    chance = 0.75 if label == "1" else 0.25
    probabilities = np.array([[1 - chance, chance]], dtype=np.float32)
    return Payload(
        outputs=[
            tensors.to_tensor("label", np.array([label.encode()], dtype=object)),
            tensors.to_tensor("probabilities", probabilities),
        ]
    )


@asynccontextmanager
async def bench(service: ServiceProcess) -> AsyncIterator[Bench]:
    """Everything around a service that is started with it; its model is taken back at the end."""
    environment = service.environment
    target = f"127.0.0.1:{environment['SLIPWAY_GRPC_PORT']}"
    token = (Path(environment["SLIPWAY_SECRETS_DIR"]) / "operator.token").read_text()
    server, replicas = grpc.aio.server(), Replicas()
    inference_pb2_grpc.add_InferenceDirectoryServicer_to_server(replicas, server)
    server.add_insecure_port(environment["SLIPWAY_INFERENCE_TARGET"])
    await server.start()
    producer = AIOKafkaProducer(**client_options(service.bootstrap))
    await producer.start()
    try:
        async with (
            grpc.aio.insecure_channel(target, options=_RECONNECT) as channel,
            _own_model(service, producer) as own,
        ):
            yield Bench(
                service=service,
                replicas=replicas,
                producer=producer,
                stub=RolloutControlStub(channel),
                metadata=operator_metadata(token),
                **own,
            )
    finally:
        await producer.stop()
        await server.stop(0)


@asynccontextmanager
async def beside(it: Bench) -> AsyncIterator[Bench]:
    """The same for one more model."""
    async with _own_model(it.service, it.producer) as own:
        yield replace(it, events=[], tables=[], specs=[], recorded=0, **own)


@asynccontextmanager
async def _own_model(service: ServiceProcess, producer: AIOKafkaProducer) -> AsyncIterator[dict[str, Any]]:
    """A model's name, and who reads for it in Kafka and in the database."""
    reader = AIOKafkaConsumer(**client_options(service.bootstrap), enable_auto_commit=False)
    await reader.start()
    partitions = [TopicPartition("rollout_events", p) for p in range(4)]
    partitions += [TopicPartition("routes", 0), TopicPartition("model_specs", 0)]
    reader.assign(partitions)
    await reader.seek_to_end(*partitions)
    database = await asyncpg.connect(service.environment["SLIPWAY_POSTGRES_DSN"], timeout=10)
    model = f"rollout-test-{secrets.token_hex(4)}"
    try:
        yield {"model": model, "reader": reader, "database": database}
    finally:
        for topic in ("routes", "model_specs"):
            await producer.send_and_wait(topic, None, key=model.encode())
        await database.close()
        await reader.stop()
