"""How far a consumer has come, and what that has cost."""

import contextlib
import time
from dataclasses import dataclass

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from before import Site

from slipway.kafka_access import client_options
from slipway.stack.processes import family
from slipway.topics import BY_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look. Processor times are since the processes began."""

    at_s: float
    committed: int
    service_cpu_s: float
    database_cpu_s: float
    broker_cpu_s: float
    resident_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Between the first look after a commit and the last one."""

    predictions: int
    seconds: float
    service_cpu_s: float
    database_cpu_s: float
    broker_cpu_s: float
    resident_bytes: int

    @property
    def per_s(self) -> float:
        """Predictions a second, by the clock."""
        return self.predictions / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of the service for one prediction, in microseconds."""
        return self.service_cpu_s / self.predictions * 1e6

    @property
    def database_cpu_us(self) -> float:
        """The same of PostgreSQL."""
        return self.database_cpu_s / self.predictions * 1e6

    @property
    def broker_cpu_us(self) -> float:
        """The same of Kafka."""
        return self.broker_cpu_s / self.predictions * 1e6

    @property
    def per_core_s(self) -> float:
        """Predictions a second that one core would bear, were it the service's alone."""
        return 1e6 / self.cpu_us


def span(readings: list[Reading]) -> Span:
    """What happened between the first and the last of these."""
    first, last = readings[0], readings[-1]
    return Span(
        predictions=last.committed - first.committed,
        seconds=last.at_s - first.at_s,
        service_cpu_s=last.service_cpu_s - first.service_cpu_s,
        database_cpu_s=last.database_cpu_s - first.database_cpu_s,
        broker_cpu_s=last.broker_cpu_s - first.broker_cpu_s,
        resident_bytes=max(reading.resident_bytes for reading in readings),
    )


class Meter:
    """Looks at one service and what it works with."""

    def __init__(self, site: Site, admin: AIOKafkaAdminClient, *, pid: int, group: str, topic: str) -> None:
        self._site = site
        self._admin = admin
        self._service = psutil.Process(pid)
        self._group = group
        self._topic = topic

    async def read(self) -> Reading:
        """Look once."""
        return Reading(
            at_s=time.monotonic(),
            committed=await self._committed(),
            service_cpu_s=_cpu_s(self._service.pid),
            database_cpu_s=_cpu_s(self._site.database_pid),
            broker_cpu_s=_cpu_s(self._site.broker_pid),
            resident_bytes=self._service.memory_info().rss,
        )

    async def _committed(self) -> int:
        try:
            offsets = await self._admin.list_consumer_group_offsets(self._group)
        except KafkaError:  # nobody is its coordinator yet
            return 0
        return sum(max(0, m.offset) for p, m in offsets.items() if p.topic == self._topic)


def _cpu_s(pid: int) -> float:
    """Of a process, its children, and theirs that have ended."""
    total = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


async def messages_in(bootstrap: str, topic: str) -> int:
    """How many lie in a topic from which nothing was deleted yet."""
    consumer = AIOKafkaConsumer(**client_options(bootstrap), enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(BY_NAME[topic].partitions)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()
