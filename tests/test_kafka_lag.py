import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from slipway import kafka_lag
from slipway.kafka_lag import LAG, show_lag, watched_lag

ONE, TWO = TopicPartition("predictions", 0), TopicPartition("predictions", 1)


class Consumer:
    """Where its partitions begin and end, and what it has committed."""

    def __init__(self) -> None:
        self.looks = 0
        self.is_away = False

    def assignment(self) -> set[TopicPartition]:
        return {ONE, TWO}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.looks += 1
        if self.is_away:
            raise KafkaConnectionError
        return dict.fromkeys(partitions, 100)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 30)

    async def committed(self, partition: TopicPartition) -> int | None:
        return {ONE: 90, TWO: None}[partition]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kafka_lag, "LOOK_EVERY_S", 0.0)
    LAG.clear()
    yield
    LAG.clear()


def lag(topic: str) -> float:
    return LAG.labels(topic, "g")._value.get()  # type: ignore[no-any-return]


async def looked(consumer: Any, times: int) -> None:
    async with watched_lag(consumer, "g"), asyncio.timeout(10):
        while consumer.looks < times:
            await asyncio.sleep(0)


async def test_what_is_there_and_not_committed_is_behind() -> None:
    await looked(Consumer(), 2)
    assert lag("predictions") == 10 + 70  # the first thirty of the other partition are gone


async def test_a_broker_that_is_away_leaves_the_gauge_as_it_was() -> None:
    consumer = Consumer()
    await looked(consumer, 2)
    consumer.is_away, consumer.looks = True, 0
    await looked(consumer, 3)
    assert lag("predictions") == 80


def test_partitions_of_a_topic_add_up_and_never_count_below_none() -> None:
    show_lag({ONE: 5, TWO: -3, TopicPartition("feedback", 0): 2}, "g")
    assert (lag("predictions"), lag("feedback")) == (5, 2)
