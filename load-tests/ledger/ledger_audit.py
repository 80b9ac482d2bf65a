"""The whole topic against the ledger."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from ledger_files import Answer

from slipway.envelope import Event, decode
from slipway.kafka_access import client_options
from slipway.recently_seen import RecentlySeen
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionFailed, PredictionServed, PredictionWithheld

_REMEMBERED: Final = 8192  # event ids, by partition: as drift detection does
_WITHIN_S: Final = 120.0


@dataclass(kw_only=True)
class Records:
    """What the topic holds."""

    served: dict[str, tuple[bytes, str]] = field(default_factory=dict)  # by id: digest, the client's own id
    conflicting: set[str] = field(default_factory=set)  # two different records with one event id
    physical: int = 0
    shipped_twice: int = 0
    seen_by_consumers: int = 0  # after a dedupe by event id over a window
    failed: set[str] = field(default_factory=set)
    withheld: set[str] = field(default_factory=set)
    told_unrecorded: int = 0
    deleted: int = 0  # by retention, before they were read
    _others: dict[str, bytes] = field(default_factory=dict)

    def add(self, event: Event, value: bytes) -> None:
        """One record."""
        self.physical += 1
        digest = hashlib.blake2b(value, digest_size=8).digest()
        served = self.served.get(event.event_id)
        known = served[0] if served else self._others.get(event.event_id)
        if known is not None:
            self.shipped_twice += known == digest
            if known != digest:
                self.conflicting.add(event.event_id)
            return
        message = event.message
        if isinstance(message, PredictionServed):
            self.served[event.event_id] = digest, message.context.request_id
            return
        self._others[event.event_id] = digest
        if isinstance(message, PredictionFailed):
            self.failed.add(message.context.prediction_id)
        elif isinstance(message, PredictionWithheld):
            self.withheld.add(message.context.prediction_id)
        else:
            self.told_unrecorded += message.answered


async def read_topic(bootstrap: str, *, say: Callable[[str], None]) -> Records:
    """Everything, from the beginning to the end of now."""
    consumer = AIOKafkaConsumer(
        **client_options(bootstrap), enable_auto_commit=False, max_partition_fetch_bytes=4 * 1024 * 1024
    )
    await consumer.start()
    records = Records()
    windows: dict[int, RecentlySeen] = {}
    try:
        partitions = [TopicPartition(PREDICTIONS.name, p) for p in range(PREDICTIONS.partitions)]
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        records.deleted = sum(begins.values())
        await consumer.seek_to_beginning(*partitions)
        left = sum(ends.values()) - records.deleted
        while left > 0:
            async with asyncio.timeout(_WITHIN_S):
                batches = await consumer.getmany(timeout_ms=1000, max_records=20_000)
            for partition, batch in batches.items():
                window = windows.setdefault(partition.partition, RecentlySeen(_REMEMBERED))
                for record in (r for r in batch if r.offset < ends[partition]):
                    _take(record, records, window)
                    left -= 1
            say(f"        {left:,} records left to read")
            left = await _left(consumer, ends)
    finally:
        await consumer.stop()
    return records


async def _left(consumer: Any, ends: dict[TopicPartition, int]) -> int:
    """Also over places that hold no record, such as a transaction's marks."""
    return sum([max(0, end - await consumer.position(partition)) for partition, end in ends.items()])


def _take(record: Any, records: Records, window: RecentlySeen) -> None:
    event = decode(record.topic, key=record.key, value=record.value, headers=record.headers)
    records.add(event, record.value)
    is_new = window.add(event.event_id, at=f"{record.partition}:{record.offset}")
    records.seen_by_consumers += is_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The invariant in numbers. The first five must be 0."""

    missing: int  # answered, and no record
    double: int  # two different records with one id
    unknown: int  # a record of an answer to a request that nobody sent, or to another one
    answered_twice: int  # one prediction id given to two requests
    answered_though_withheld: int
    answered: int
    unrecorded: int  # answered without a record, and said so
    told_unrecorded: int  # of these, told by records of their gap
    recorded_not_answered: int  # the client saw a failure: killed, timed out, reset
    withheld: int
    failed_records: int
    shipped_twice: int  # the same record again, after a crash
    seen_by_consumers: int
    distinct: int
    deleted: int

    @property
    def is_kept(self) -> bool:
        """Whether the invariant holds."""
        bad = (self.missing, self.double, self.unknown, self.answered_twice, self.answered_though_withheld)
        return not any(bad) and not self.deleted

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"is_kept": self.is_kept, **asdict(self)}


def judge(answers: Iterable[Answer], failed: set[int], records: Records) -> Verdict:
    """Hold the records against the ledger.

    Args:
        answers: What the client was told.
        failed: Numbers of the requests that failed for it.
        records: What the topic holds.
    """
    lines, count = dict[str, Answer](), Counter[str]()
    for answer in answers:
        count["answered"] += 1
        count["answered_twice"] += answer.prediction_id in lines
        lines[answer.prediction_id] = answer
    for prediction_id, answer in lines.items():
        record = records.served.get(prediction_id)
        count["unrecorded"] += answer.is_unrecorded
        count["missing"] += record is None and not answer.is_unrecorded
        count["unknown"] += record is not None and record[1] != f"{answer.number:x}"
        count["answered_though_withheld"] += prediction_id in records.withheld
    for prediction_id, (_, request_id) in records.served.items():
        if prediction_id not in lines and request_id:  # without one: asked before the load began
            count["recorded_not_answered"] += 1
            count["unknown"] += int(request_id, 16) not in failed
    names = ("missing", "unknown", "answered_twice", "answered_though_withheld", "answered", "unrecorded")
    return Verdict(
        **{name: count[name] for name in (*names, "recorded_not_answered")},
        double=len(records.conflicting),
        told_unrecorded=records.told_unrecorded,
        withheld=len(records.withheld),
        failed_records=len(records.failed),
        shipped_twice=records.shipped_twice,
        seen_by_consumers=records.seen_by_consumers,
        distinct=records.physical - records.shipped_twice - len(records.conflicting),
        deleted=records.deleted,
    )
