"""What the gateway, feedback and rollout do around drift detection, and what its readers see."""

import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from google.protobuf.timestamp_pb2 import Timestamp

from slipway import tensors
from slipway.envelope import Event, Outgoing, decode, encode
from slipway.ids import new_id
from slipway.kafka import Producer, producer
from slipway.kafka_access import client_options
from slipway.topics import DRIFT_ALARMS, DRIFT_BLOCKS, LABELS, MODEL_SPECS, PREDICTIONS, ROUTES
from slipway.v1.feedback_pb2 import LabelMatched
from slipway.v1.predictions_pb2 import PredictionContext, PredictionServed
from slipway.v1.rollout_pb2 import Arm, ModelSpec, RouteTable
from slipway.v1.tensors_pb2 import FeatureBins, FeatureProfile, Payload, ReferenceProfile
from tests.service_process import until

SPEC = """
name: {name}
task: binary
features: [{{name: a}}, {{name: b}}]
label: {{name: y, classes: ["0", "1"]}}
drift: {{block_rows: 20, window_rows: 200, performance_window_rows: 100, page_hinkley_threshold: 0.2}}
retraining: {{min_rows: 50, min_rows_per_class: 5, cool_down_rows: 60, max_staleness_rows: 100000}}
"""


def new_model() -> str:
    return f"dd-{secrets.token_hex(4)}"


def now(at_s: float | None = None) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int((time.time() if at_s is None else at_s) * 1e9))
    return stamp


@dataclass(kw_only=True)
class Bench:
    """One model and its stream."""

    model: str
    producer: Producer
    reader: AIOKafkaConsumer
    events: list[Event] = field(default_factory=list)

    async def declare(self, *, version: str = "3", epoch: int = 1) -> None:
        """Announce spec and routes as rollout does."""
        profile = ReferenceProfile(
            features=[FeatureProfile(feature=f, edges=[0.0], counts=[500, 500]) for f in "ab"],
            classes=["0", "1"],
            predicted_counts=[500, 500],
            rows=1000,
        )
        arm = Arm(version=version, role="champion", weight_ppm=1_000_000, profile=profile)
        table = RouteTable(model=self.model, tenant="default", epoch=epoch, arms=[arm])
        spec = ModelSpec(name=self.model, tenant="default", revision=1, yaml=SPEC.format(name=self.model))
        await self.producer.publish(
            [
                encode(MODEL_SPECS.name, spec, key=self.model, event_id=new_id(), source="test"),
                encode(ROUTES.name, table, key=self.model, event_id=new_id(), source="test"),
            ]
        )

    def record(self, *, code_a: int = 0, answer: str = "1", version: str = "3") -> Outgoing:
        """One served row."""
        prediction = new_id()
        message = PredictionServed(
            context=PredictionContext(
                prediction_id=prediction,
                tenant="default",
                model=self.model,
                version=version,
                rows=1,
                served_at=now(),
            ),
            payload=Payload(outputs=[tensors.to_tensor("label", np.array([answer.encode()], dtype=object))]),
            feature_bins=[
                FeatureBins(feature="a", codes=bytes([code_a])),
                FeatureBins(feature="b", codes=bytes([int(answer)])),
            ],
        )
        return encode(PREDICTIONS.name, message, key=prediction, event_id=prediction, source="test")

    def label(self, *, is_wrong: bool, number: int = 0, version: str = "3", revision: int = 1) -> Outgoing:
        """One matched label."""
        prediction, label = new_id(), str(number % 2)
        message = LabelMatched(
            prediction_id=prediction,
            revision=revision,
            tenant="default",
            model=self.model,
            version=version,
            label=label,
            predicted=str(1 - int(label)) if is_wrong else label,
            classes=["0", "1"],
            served_at=now(),
        )
        return encode(
            LABELS.name, message, key=prediction, event_id=f"{prediction}/0/{revision}", source="test"
        )

    async def read(self) -> list[Event]:
        """Everything of this model that has been published so far, blocks and alarms."""
        batches = await self.reader.getmany(timeout_ms=200)
        for record in (r for batch in batches.values() for r in batch):
            event = decode(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
                offset=record.offset,
            )
            if event.message.model == self.model:
                self.events.append(event)
        return self.events

    async def of_type(self, kind: type, count: int) -> list[Event]:
        """At least so many messages of one type."""

        async def enough() -> list[Event]:
            found = [e for e in await self.read() if isinstance(e.message, kind)]
            return found if len(found) >= count else []

        found: list[Event] = await until(f"{count} of {kind.__name__}", enough)
        return found

    async def counted(self, rows: int, labels: int) -> dict[str, int]:
        """Wait until so much is in the blocks; the sums over the longest block of each slot."""

        async def sums() -> dict[str, int]:
            found = block_sums(e.message for e in await self.read() if e.topic == DRIFT_BLOCKS.name)
            return (
                found
                if (found["rows"], found["labels"]) >= (rows, labels) and found["labels"] >= labels
                else {}
            )

        counted: dict[str, int] = await until(f"{rows} rows and {labels} labels in blocks", sums)
        return counted


def block_sums(blocks: Iterable[Any]) -> dict[str, int]:
    """What readers of blocks count: of each slot its longest block."""
    longest: dict[tuple[str, int, str, int], Any] = {}
    for block in blocks:
        slot = (block.source_topic, block.source_partition, block.version, block.first_offset)
        if slot not in longest or block.last_offset > longest[slot].last_offset:
            longest[slot] = block
    found = list(longest.values())
    return {
        "rows": sum(b.rows for b in found),
        "labels": sum(b.labels for b in found),
        "errors": sum(b.errors for b in found),
        "codes": sum(sum(f.counts) for b in found for f in b.features),
        "answers": sum(sum(b.predicted_counts) for b in found),
    }


@asynccontextmanager
async def bench(bootstrap: str, *, topics: Sequence[str] = ()) -> AsyncIterator[Bench]:
    """Clients for one model, reading blocks, alarms and `topics` from now on."""
    reader = AIOKafkaConsumer(
        DRIFT_BLOCKS.name,
        DRIFT_ALARMS.name,
        *topics,
        **client_options(bootstrap),
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    await reader.start()
    await reader.seek_to_end()
    for partition in reader.assignment():
        await reader.position(partition)
    async with producer(bootstrap) as out:
        it = Bench(model=new_model(), producer=out, reader=reader)
        await it.declare()
        try:
            yield it
        finally:
            await reader.stop()
            await forget(bootstrap, it.model)


async def forget(bootstrap: str, model: str) -> None:
    """Take spec and routes back, so that nobody goes on serving a model of a test."""
    plain = AIOKafkaProducer(**client_options(bootstrap))
    await plain.start()
    try:
        for topic in (MODEL_SPECS.name, ROUTES.name):
            await plain.send_and_wait(topic, None, key=model.encode())
    finally:
        await plain.stop()
