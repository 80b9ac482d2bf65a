"""The feedback service as a process of its own, on the real Kafka and in a database of its own.

It has its own token secret, so a feedback service that runs beside it believes none of its feedback.
"""

import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from google.protobuf.timestamp_pb2 import Timestamp

from slipway import envelope, tensors, tokens
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.kafka_access import client_options
from slipway.rpc import operator_metadata
from slipway.tokens import Owner
from slipway.v1.feedback_pb2 import FeedbackReceived, OutcomeMatched, SummarizeFeedbackRequest
from slipway.v1.feedback_pb2_grpc import FeedbackQueriesStub
from slipway.v1.predictions_pb2 import PredictionContext, PredictionServed
from slipway.v1.rollout_pb2 import ModelSpec
from slipway.v1.tensors_pb2 import Payload
from tests.service_process import ServiceProcess, own_database, own_service, until

ANNA, BERT = Owner("default", "anna"), Owner("default", "bert")
SPEC = """
name: {name}
task: {task}
features: [{{name: a}}, {{name: b}}]
label: {{name: y, {label}}}
"""
CLASSES = 'classes: ["0", "1"]'


def served(
    model: str,
    *,
    rows: int = 1,
    key: str = "",
    owner: Owner = ANNA,
    at_s: float | None = None,
    unit: str = "",
    pinned: bool = False,
) -> PredictionServed:
    """The record of a prediction: class "1" for every row."""
    served_at = Timestamp()
    served_at.FromNanoseconds(time.time_ns() if at_s is None else int(at_s * 1e9))
    context = PredictionContext(
        prediction_id=new_id(),
        model=model,
        tenant=owner.tenant,
        principal=owner.principal,
        version="3",
        digest="d" * 64,
        arm="champion",
        route_epoch=7,
        business_key=key,
        unit=unit,
        pinned=pinned,
        served_at=served_at,
        rows=rows,
    )
    inputs = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    labels = np.array([b"1"] * rows, dtype=object)
    probabilities = np.tile(np.array([0.25, 0.75], dtype=np.float32), (rows, 1))
    payload = Payload(
        inputs=[tensors.to_tensor("features", inputs)],
        outputs=[tensors.to_tensor("label", labels), tensors.to_tensor("probabilities", probabilities)],
    )
    return PredictionServed(context=context, payload=payload)


@contextmanager
def feedback_service(folder: Path, **settings: str) -> Iterator[ServiceProcess]:
    """A feedback service in a fresh database with fresh secrets; killed at the end."""
    with own_database("feedback") as dsn:
        own = {
            "SLIPWAY_POSTGRES_DSN": dsn,
            "SLIPWAY_CONSUMER_GROUP": f"test.feedback.{secrets.token_hex(4)}",
            "SLIPWAY_INSTANCE": "test",  # started again it takes its place at once
            "SLIPWAY_HOUSEKEEPING_EVERY_S": "0.2",
        }
        with own_service("feedback", folder, **own, **settings) as service:
            yield service


async def publish_specs(bootstrap: str, specs: Mapping[str, str]) -> None:
    """Announce specs as rollout does; an empty text takes one back."""
    producer = AIOKafkaProducer(**client_options(bootstrap))
    await producer.start()
    try:
        for name, text in specs.items():
            spec = ModelSpec(name=name, tenant="default", revision=1, yaml=text)
            out = envelope.encode("model_specs", spec, key=name, event_id=new_id(), source="test")
            value = out.value if text else None
            await producer.send_and_wait(out.topic, value, key=name.encode(), headers=list(out.headers))
    finally:
        await producer.stop()


@dataclass(kw_only=True)
class Bench:
    """What a client application, the gateway and the readers of `labels` do around the service."""

    model: str
    secret: bytes
    bootstrap: str
    group: str
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    stub: Any
    operator_token: str
    database: Any
    events: list[Event] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)  # outcomes
    dead: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    def token(self, subject: str, owner: Owner = ANNA) -> str:
        return tokens.issue(self.secret, subject=subject, owner=owner)

    async def serve(self, **more: Any) -> str:
        """Record a prediction that was served; returns its id."""
        message = self.record(**more)
        await self.publish_record(message)
        return message.context.prediction_id

    def record(self, **more: Any) -> PredictionServed:
        return served(self.model, **more)

    async def publish_record(self, message: PredictionServed) -> None:
        identity = message.context.prediction_id
        out = envelope.encode("predictions", message, key=identity, event_id=identity, source="gateway")
        await self.producer.send_and_wait(
            out.topic, out.value, key=identity.encode(), headers=list(out.headers)
        )

    async def send(self, *, owner: Owner = ANNA, event_id: str = "", **message: Any) -> None:
        """Publish feedback as protobuf, with the right token unless another is given."""
        subject = message.get("prediction_id") or tokens.subject_of_key(message.get("business_key", ""))
        feedback = FeedbackReceived(**{"feedback_token": self.token(subject, owner)} | message)
        headers = [("ce_id", event_id.encode())] if event_id else []
        await self.send_raw(feedback.SerializeToString(), key=subject, headers=headers)

    async def send_raw(self, value: bytes | None, *, key: str, headers: list[tuple[str, bytes]]) -> None:
        await self.producer.send_and_wait("feedback", value, key=key.encode(), headers=headers)

    async def labels(self, count: int) -> list[Event]:
        """The first `count` distinct label events of this model."""
        await until(
            f"{count} label events of {self.model}",
            lambda: self._collected(count),
            seen=lambda: len(self.distinct()),
        )
        return self.distinct()

    async def _collected(self, count: int) -> bool:
        await self.collect()
        return len(self.distinct()) >= count

    async def outcomes(self, count: int) -> list[Event]:
        """The first outcomes of this model, once there are so many."""

        async def arrived() -> bool:
            await self.collect()
            return len(self.told) >= count

        await until(f"{count} outcomes of {self.model}", arrived, seen=lambda: len(self.told))
        return self.told

    def distinct(self) -> list[Event]:
        return list({event.event_id: event for event in reversed(self.events)}.values())[::-1]

    async def dead_letters(self, count: int) -> list[tuple[bytes, dict[str, str]]]:
        async def arrived() -> bool:
            await self.collect()
            return len(self.dead) >= count

        await until(f"{count} dead letters", arrived)
        return self.dead

    async def collect(self) -> None:
        """Read what is new in `labels` and `feedback.dlq`."""
        for records in (await self.reader.getmany(timeout_ms=50)).values():
            for r in records:
                if r.topic == "labels":
                    self._take_label(r)
                else:
                    headers = {name: raw.decode() for name, raw in r.headers}
                    if headers["slipway_group"] == self.group:
                        self.dead.append((r.value, headers))

    def _take_label(self, r: Any) -> None:
        try:
            event = envelope.decode(r.topic, key=r.key, value=r.value, headers=r.headers)
        except InvalidInput:
            return  # poison that a neighbour's test has thrown into the topic
        if event.message.model == self.model:
            kept = self.told if isinstance(event.message, OutcomeMatched) else self.events
            kept.append(event)

    async def summary(self) -> Any:
        request = SummarizeFeedbackRequest(model=self.model)
        return await self.stub.Summarize(request, metadata=operator_metadata(self.operator_token), timeout=10)

    async def reaches(self, **wanted: Any) -> Any:
        """Wait until the summary shows these values; returns it."""

        shown: dict[str, Any] = {}

        async def check() -> Any:
            summary = await self.summary()
            shown.update({name: _plain(getattr(summary, name)) for name in wanted})
            return summary if shown == wanted else None

        return await until(f"{wanted} of {self.model}", check, seen=lambda: shown)

    async def quarantined(self) -> dict[str, str]:
        """Detail by reason of what is kept apart for this model or for none."""
        rows = await self.database.fetch(
            "SELECT reason, detail FROM quarantine WHERE model IN ('', $1)", self.model
        )
        return {row["reason"]: row["detail"] for row in rows}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


@asynccontextmanager
async def bench(service: ServiceProcess, model: str) -> AsyncIterator[Bench]:
    """Clients of a running service, reading `labels` and `feedback.dlq` from now on."""
    environment = service.environment
    bootstrap = environment["SLIPWAY_KAFKA_BOOTSTRAP"]
    folder = Path(environment["SLIPWAY_SECRETS_DIR"])
    producer = AIOKafkaProducer(**client_options(bootstrap), linger_ms=5, acks="all", enable_idempotence=True)
    reader = AIOKafkaConsumer(**client_options(bootstrap), enable_auto_commit=False)
    await producer.start()
    await reader.start()
    partitions = [TopicPartition("labels", p) for p in range(4)] + [TopicPartition("feedback.dlq", 0)]
    reader.assign(partitions)
    await reader.seek_to_end(*partitions)
    database = await asyncpg.connect(environment["SLIPWAY_POSTGRES_DSN"], timeout=10)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{environment['SLIPWAY_GRPC_PORT']}") as channel:
            yield Bench(
                model=model,
                secret=(folder / tokens.SECRET_FILE).read_text().encode(),
                bootstrap=bootstrap,
                group=environment["SLIPWAY_CONSUMER_GROUP"],
                producer=producer,
                reader=reader,
                stub=FeedbackQueriesStub(channel),
                operator_token=(folder / "operator.token").read_text(),
                database=database,
            )
    finally:
        await database.close()
        await reader.stop()
        await producer.stop()


def names(prefix: str, kinds: Iterable[str]) -> dict[str, str]:
    """A model name for each kind, unlike those of any other run."""
    run = secrets.token_hex(3)
    return {kind: f"{prefix}-{run}-{kind}" for kind in kinds}
