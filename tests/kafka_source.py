"""Records as a consumer gets them."""

from aiokafka import ConsumerRecord
from google.protobuf.message import Message

from slipway import envelope


def source_of(
    topic: str, message: Message, *, key: str = "k", partition: int = 0, offset: int = 0
) -> ConsumerRecord:
    """What a consumer finds where `message` was published."""
    out = envelope.encode(topic, message, key=key, event_id="e", source="test")
    return record(topic, out.value, out.headers, partition=partition, offset=offset)


def record(
    topic: str,
    value: bytes | None,
    headers: tuple[tuple[str, bytes], ...] = (),
    *,
    partition: int = 0,
    offset: int = 0,
) -> ConsumerRecord:
    """A record with these bytes."""
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=b"k",
        value=value,
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=len(value or b""),
        headers=headers,
    )
