"""What the loop did meanwhile: alarms, requests, candidates and rollout steps, read from their topics."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from slipway.envelope import Event, decode
from slipway.kafka_access import client_options
from slipway.v1.drift_pb2 import DriftDetected, DriftSignal
from slipway.v1.retraining_pb2 import (
    CandidateBlessed,
    CandidateInsufficient,
    CandidateRejected,
    RetrainCause,
    RetrainRequested,
)
from slipway.v1.rollout_pb2 import RolloutEvent

TOPICS: Final = ("drift_alarms", "retrain_requests", "candidates", "rollout_events")
_DEADLINE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened, at the row that was being served."""

    row: int
    kind: str  # alarm, request, blessed, rejected, insufficient, rollout
    text: str
    version: str = ""
    state: str = ""


@dataclass(slots=True)
class Journal:
    """Follows the loop's topics for one model from the moment of `open`."""

    model: str
    row: Callable[[], int]  # the row being served now
    entries: list[Entry] = field(default_factory=list)

    async def follow(self, bootstrap: str, opened: asyncio.Event, stop: asyncio.Event) -> None:
        """Read until `stop`; `opened` is set when nothing that follows can be missed."""
        consumer = AIOKafkaConsumer(
            *TOPICS, **client_options(bootstrap), enable_auto_commit=False, auto_offset_reset="latest"
        )
        await asyncio.wait_for(consumer.start(), _DEADLINE_S)
        try:
            await consumer.seek_to_end()
            for partition in consumer.assignment():
                await consumer.position(partition)
            opened.set()
            while not stop.is_set():
                batches = await consumer.getmany(timeout_ms=100)
                for record in (r for batch in batches.values() for r in batch):
                    self.note(
                        decode(record.topic, key=record.key, value=record.value, headers=record.headers)
                    )
        finally:
            await consumer.stop()

    def note(self, event: Event) -> None:
        """Add one event, if it is about this model and worth telling."""
        if event.message.model != self.model:
            return
        entry = _entry(event.message, self.row())
        if entry:
            self.entries.append(entry)

    def count(self, kind: str) -> int:
        """How many entries of one kind there are."""
        return sum(e.kind == kind for e in self.entries)

    def count_states(self, *states: str) -> int:
        """How many rollouts ended in one of the states."""
        return sum(e.kind == "rollout" and e.state in states for e in self.entries)


def _entry(message: Any, row: int) -> Entry | None:
    match message:
        case DriftDetected():
            signal = DriftSignal.Name(message.signal).removeprefix("DRIFT_SIGNAL_").lower()
            return Entry(row=row, kind="alarm", text=f"{signal} drift: {message.evidence}")
        case RetrainRequested():
            cause = RetrainCause.Name(message.cause).removeprefix("RETRAIN_CAUSE_").lower()
            return Entry(row=row, kind="request", text=f"{cause}: {message.evidence}")
        case CandidateBlessed():
            return Entry(row=row, kind="blessed", text=message.reason, version=message.version)
        case CandidateRejected():
            return Entry(row=row, kind="rejected", text=message.reason)
        case CandidateInsufficient():
            return Entry(row=row, kind="insufficient", text=message.reason)
        case RolloutEvent():
            return Entry(
                row=row, kind="rollout", text=message.reason, version=message.version, state=message.to_state
            )
    return None
