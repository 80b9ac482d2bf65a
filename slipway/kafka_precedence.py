"""Which topics a consumer reads up before the others: what explains a message should be known before it."""

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

_PATIENCE_S: Final = 2.0  # a short backlog that new messages keep alive holds nothing back for longer


class Precedence:
    """Holds the other topics back while the first ones are behind."""

    def __init__(self, first: tuple[str, ...], *, bearable: int) -> None:
        self._first = first
        self._bearable = bearable
        self._held_since_s: float | None = None

    async def due(self, consumer: AIOKafkaConsumer, now_s: float) -> tuple[TopicPartition, ...]:
        """The partitions to read now; none stands for all of them."""
        leading = [partition for partition in consumer.assignment() if partition.topic in self._first]
        behind = max([await _messages_behind(consumer, partition) for partition in leading], default=0)
        if not behind:
            self._held_since_s = None
            return ()
        if self._held_since_s is None:
            self._held_since_s = now_s
        is_over = behind <= self._bearable and now_s - self._held_since_s > _PATIENCE_S
        return () if is_over else tuple(leading)


async def _messages_behind(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    """How many messages are not read yet; one where the broker has not said how many there are."""
    end: int | None = consumer.highwater(partition)
    return 1 if end is None else max(0, end - int(await consumer.position(partition)))
