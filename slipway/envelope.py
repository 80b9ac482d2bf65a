"""One protobuf message in one Kafka value, described by CloudEvents 1.0 attributes in `ce_` headers.

Source: CloudEvents, Kafka Protocol Binding 1.0.2, section 3.2 (binary content mode).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from slipway.errors import InvalidInput
from slipway.topics import BY_NAME

PROTOBUF: Final = "application/protobuf"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A decoded message with where it came from."""

    topic: str
    key: str
    message: Any  # one of the topic's message types
    event_id: str
    partition: int = -1
    offset: int = -1
    timestamp_ms: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way out."""

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def encode(topic: str, message: Message, *, key: str, event_id: str, source: str) -> Outgoing:
    """Wrap one message for `topic`.

    Args:
        topic: A name in the topic table that lists this message type.
        message: The protobuf message.
        key: Kafka key.
        event_id: The `ce_id`: readers drop what they have already seen.
        source: The writing service.
    Raises:
        InvalidInput: The topic does not carry this type.
    """
    if type(message) not in BY_NAME[topic].messages:
        raise InvalidInput(f"topic {topic} does not carry {message.DESCRIPTOR.full_name}")
    headers = attributes(type(message), event_id, source=source, time=datetime.now(UTC).isoformat())
    return Outgoing(topic=topic, key=key, value=message.SerializeToString(), headers=headers)


def attributes(
    kind: type[Message], event_id: str, *, source: str, time: str
) -> tuple[tuple[str, bytes], ...]:
    """The headers of an event; `time` in the form of RFC 3339."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": f"/slipway/{source}",
        "ce_type": kind.DESCRIPTOR.full_name,
        "ce_time": time,
        "content-type": PROTOBUF,
    }
    return tuple((name, text.encode()) for name, text in headers.items())


def decode(
    topic: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: tuple[tuple[str, bytes], ...] | list[tuple[str, bytes]],
    partition: int = -1,
    offset: int = -1,
    timestamp_ms: int = 0,
) -> Event:
    """Read one Kafka record of a known topic.

    Raises:
        InvalidInput: No value, an unknown type, or bytes that are not of that type.
    """
    texts = {name: raw.decode("utf-8", "replace") for name, raw in headers if raw is not None}
    if value is None:
        raise InvalidInput(f"{topic}: the record has no value")
    message = _parse(topic, value, texts)
    return Event(
        topic=topic,
        key=(key or b"").decode("utf-8", "replace"),
        message=message,
        event_id=texts.get("ce_id", ""),
        partition=partition,
        offset=offset,
        timestamp_ms=timestamp_ms,
        headers=texts,
    )


def _parse(topic: str, value: bytes, headers: dict[str, str]) -> Message:
    message = _message_type(topic, headers)()
    content_type = headers.get("content-type", PROTOBUF).split(";")[0].strip().lower()
    try:
        if content_type == JSON:
            return json_format.Parse(value, message, max_recursion_depth=20)
        if content_type == PROTOBUF:
            message.ParseFromString(value)
            return message
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{topic}: not a {message.DESCRIPTOR.full_name}: {error}") from error
    raise InvalidInput(f"{topic}: content-type {content_type!r} is neither {PROTOBUF} nor {JSON}")


def _message_type(topic: str, headers: dict[str, str]) -> type[Message]:
    types = BY_NAME[topic].messages
    if "ce_type" not in headers and len(types) == 1:
        return types[0]
    for candidate in types:
        if candidate.DESCRIPTOR.full_name == headers.get("ce_type"):
            return candidate
    known = ", ".join(t.DESCRIPTOR.full_name for t in types)
    raise InvalidInput(f"{topic}: ce_type {headers.get('ce_type')!r} is not one of {known}")
