"""The retraining service beside the stack, and what neighbours do to it, for one model."""

import asyncio
import io
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import numpy as np
import pandas as pd
from aiokafka import AIOKafkaConsumer

from slipway import envelope, rpc
from slipway.ids import new_id
from slipway.kafka import Producer
from slipway.kafka_access import client_options
from slipway.registry import Registry
from slipway.tensors import to_tensor
from slipway.v1 import feedback_pb2, retraining_pb2, rollout_pb2
from slipway.v1.retraining_pb2_grpc import RetrainingControlStub
from tests.service_process import ServiceProcess, own_database, own_service, skip_history, until

TOPICS = ("labels", "retrain_requests", "rollout_events")
SPEC = """
name: {name}
task: binary
features: [{{name: a}}, {{name: b}}]
label: {{name: y, classes: ["no", "yes"], horizon_rows: 20}}
recipe: recipe.py
retraining:
  windows: [all, since_drift, "sliding:150"]
  holdout_rows: 60
  min_rows: 100
  min_rows_per_class: 5
  margin: -0.02
  keep_rows: {keep_rows}
"""
GOOD = """
from sklearn.linear_model import LogisticRegression
def fit(X, y, sample_weight, seed):
    return LogisticRegression(random_state=seed).fit(X, y, sample_weight=sample_weight)
"""


def rows(count: int, *, seed: int = 1, turned: bool = False) -> pd.DataFrame:
    """Two numbers; the first decides the label, or its opposite when `turned`."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, 2)).astype(np.float32)
    is_yes = (numbers[:, 0] + 0.2 * rng.normal(size=count) > 0) != turned
    return pd.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "y": np.where(is_yes, "yes", "no")})


def parquet(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_parquet(out)
    return out.getvalue()


@contextmanager
def own_retraining(folder: Path, **settings: str) -> Iterator[ServiceProcess]:
    """A service with a database and a group of its own, on the stack's Kafka, MLflow and Ray."""
    group = f"test.retraining.{secrets.token_hex(4)}"
    with own_database("retraining") as dsn:
        own = {"SLIPWAY_POSTGRES_DSN": dsn, "SLIPWAY_CONSUMER_GROUP": group}
        with own_service("retraining", folder, **own, **settings) as service:
            asyncio.run(skip_history(service.bootstrap, group, TOPICS))
            yield service


@dataclass(kw_only=True)
class Bench:
    """Clients of the service, with a model of its own."""

    service: ServiceProcess
    model: str
    stub: Any
    metadata: Any
    producer: Producer
    reader: AIOKafkaConsumer
    database: Any
    registry: Registry
    served_s: float = 1_700_000_000.0
    events: list[Any] = field(default_factory=list)

    async def apply(self, recipe: str = GOOD, *, revision: int = 1, keep_rows: int = 5000) -> None:
        yaml = SPEC.format(name=self.model, keep_rows=keep_rows)
        message = rollout_pb2.ModelSpec(
            name=self.model, tenant="default", revision=revision, yaml=yaml, recipe=recipe, digest="d"
        )
        await self.publish("model_specs", message)

        async def known() -> bool:
            try:
                await self.status()
            except grpc.aio.AioRpcError as error:
                return error.code() is not grpc.StatusCode.NOT_FOUND
            return True

        await until(f"{self.model} to be known", known)

    async def register(self, content: bytes, *, model: str | None = None) -> Any:
        first = retraining_pb2.DatasetChunk(model=model or self.model, name="test")
        chunks = [first, retraining_pb2.DatasetChunk(parquet=content)]
        return await self.stub.RegisterDataset(iter(chunks), metadata=self.metadata, timeout=60)

    async def train(self) -> list[Any]:
        """Everything that a training reports."""
        request = retraining_pb2.TrainModelRequest(model=self.model, actor="anna", evidence="a test")
        call = self.stub.Train(request, metadata=self.metadata, timeout=300)
        return [progress async for progress in call]

    async def request(self, *, drift_since_s: float | None = None) -> str:
        message = retraining_pb2.RetrainRequested(
            request_id=new_id(),
            tenant="default",
            model=self.model,
            cause=retraining_pb2.RETRAIN_CAUSE_CONCEPT_DRIFT,
            evidence="errors doubled",
        )
        if drift_since_s is not None:
            message.drift_since.FromNanoseconds(int(drift_since_s * 1e9))
        await self.publish("retrain_requests", message)
        return message.request_id

    async def correct(self, prediction_id: str, label: str, *, revision: int, served_s: float) -> None:
        """Another label of a row that was served at a time."""
        table, self.served_s, now_s = rows(1).assign(y=label), served_s - 1, self.served_s
        await self.label(table, ids=[prediction_id], revision=revision)
        self.served_s = now_s

    async def label(self, table: pd.DataFrame, *, revision: int = 1, ids: Sequence[str] = ()) -> list[str]:
        """Labels of rows that were served one second apart."""
        names = list(ids) or [new_id() for _ in range(len(table))]
        for prediction_id, row in zip(names, table.itertuples(index=False), strict=True):
            message = feedback_pb2.LabelMatched(
                prediction_id=prediction_id,
                revision=revision,
                model=self.model,
                version="1",
                label=str(row.y),
                source="s",
            )
            features = np.array([[row.a, row.b]], dtype=np.float32)
            message.inputs.append(to_tensor("features", features))
            self.served_s += 1
            message.served_at.FromNanoseconds(int(self.served_s * 1e9))
            await self.publish("labels", message, key=prediction_id)
        return names

    async def retract(self, prediction_id: str, *, revision: int) -> None:
        message = feedback_pb2.LabelRetracted(
            prediction_id=prediction_id, revision=revision, model=self.model
        )
        await self.publish("labels", message, key=prediction_id)

    async def promote(self, version: str, *, seq: int) -> None:
        message = rollout_pb2.RolloutEvent(
            model=self.model, seq=seq, to_state="DONE", version=version, champion_version=version
        )
        await self.publish("rollout_events", message)

        async def known() -> bool:
            found = await self.database.fetchval("SELECT version FROM champions WHERE model = $1", self.model)
            return bool(found == version)

        await until(f"version {version} to be champion", known)

    async def publish(self, topic: str, message: Any, *, key: str | None = None) -> None:
        outgoing = envelope.encode(topic, message, key=key or self.model, event_id=new_id(), source="test")
        await self.producer.publish([outgoing])

    async def status(self) -> Any:
        request = retraining_pb2.TrainingStatusRequest(model=self.model)
        return await self.stub.GetTrainingStatus(
            request, metadata=self.metadata, timeout=30, wait_for_ready=True
        )

    async def has_examples(self, count: int) -> None:
        async def check() -> bool:
            return bool((await self.status()).examples == count)

        await until(f"{count} examples", check)

    async def outcome_of(self, request_id: str) -> Any:
        """The event that answers a request, as others read it."""

        async def check() -> Any:
            await self.collect()
            return next((e for e in self.events if e.request_id == request_id), None)

        return await until(f"an answer to {request_id}", check)

    async def collect(self) -> None:
        """Read what has been published about this model."""
        for records in (await self.reader.getmany(timeout_ms=200)).values():
            for record in records:
                event = envelope.decode(
                    record.topic, key=record.key, value=record.value, headers=list(record.headers)
                )
                if event.key == self.model:
                    self.events.append(event.message)


@asynccontextmanager
async def bench(service: ServiceProcess) -> AsyncIterator[Bench]:
    """Connect everything for one test."""
    environment = service.environment
    token = (Path(environment["SLIPWAY_SECRETS_DIR"]) / rpc.OPERATOR_TOKEN_FILE).read_text()
    producer = Producer(service.bootstrap)
    reader = AIOKafkaConsumer("candidates", **client_options(service.bootstrap), auto_offset_reset="latest")
    await producer.start()
    await reader.start()
    await reader.seek_to_end()
    database = await asyncpg.connect(environment["SLIPWAY_POSTGRES_DSN"], ssl=False)
    model = f"rt-{secrets.token_hex(4)}"
    try:
        async with rpc.channel(f"127.0.0.1:{environment['SLIPWAY_GRPC_PORT']}") as channel:
            yield Bench(
                service=service,
                model=model,
                stub=RetrainingControlStub(channel),
                metadata=rpc.operator_metadata(token),
                producer=producer,
                reader=reader,
                database=database,
                registry=Registry(os.environ.get("SLIPWAY_MLFLOW_URL") or environment["SLIPWAY_MLFLOW_URL"]),
            )
    finally:
        await database.close()
        await reader.stop()
        await producer.stop()
