from typing import Any

from aiokafka import TopicPartition

from slipway.kafka_precedence import Precedence

FIRST, SECOND = TopicPartition("predictions", 0), TopicPartition("predictions", 1)
OTHER = TopicPartition("feedback", 0)


class Consumer:
    """Where it stands in each partition, and where each ends."""

    def __init__(self) -> None:
        self.positions = {FIRST: 0, SECOND: 0, OTHER: 0}
        self.ends: dict[TopicPartition, int | None] = {FIRST: 0, SECOND: 0, OTHER: 100}

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.ends[partition]

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]


async def due(precedence: Precedence, consumer: Any, now_s: float = 0.0) -> set[TopicPartition]:
    return set(await precedence.due(consumer, now_s))


async def test_all_are_read_when_the_first_ones_are_read_up() -> None:
    assert await due(Precedence(("predictions",), bearable=5), Consumer()) == set()
    assert await due(Precedence((), bearable=5), Consumer()) == set()


async def test_the_others_wait_while_the_first_ones_are_behind_or_their_ends_unknown() -> None:
    consumer, precedence = Consumer(), Precedence(("predictions",), bearable=5)
    consumer.ends[SECOND] = None
    assert await due(precedence, consumer) == {FIRST, SECOND}
    consumer.ends[SECOND] = 9
    assert await due(precedence, consumer, 100.0) == {FIRST, SECOND}
    consumer.positions[SECOND] = 9
    assert await due(precedence, consumer, 101.0) == set()


async def test_a_short_backlog_that_never_ends_starves_nobody() -> None:
    consumer, precedence = Consumer(), Precedence(("predictions",), bearable=5)
    consumer.ends[FIRST] = 5
    assert await due(precedence, consumer, 10.0) == {FIRST, SECOND}
    assert await due(precedence, consumer, 12.5) == set()
    consumer.ends[FIRST] = 0
    assert await due(precedence, consumer, 13.0) == set()
    consumer.ends[FIRST] = 5
    assert await due(precedence, consumer, 14.0) == {FIRST, SECOND}
