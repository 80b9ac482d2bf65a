"""Kafka's records: to events, to narrower messages for the fastest readers, and to dead letters."""

from collections.abc import Mapping
from typing import Any, Final

from aiokafka import ConsumerRecord
from google.protobuf.message import DecodeError, Message

from slipway.envelope import PROTOBUF, Event, Outgoing, decode
from slipway.errors import InvalidInput
from slipway.topics import dead_letter_topic

_PROTOBUF: Final = PROTOBUF.encode()


def decode_record(record: ConsumerRecord) -> Event:
    """One record of a known topic, decoded."""
    return decode(
        record.topic,
        key=record.key,
        value=record.value,
        headers=record.headers,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
    )


class Narrow:
    """Reads records by messages that name only what the reader needs, by the same field numbers.

    A topic's other types are None: they are known, and nothing is wanted of them.

    Args:
        views: The message to read each type of the topic by.
    """

    def __init__(self, views: Mapping[type[Message], type[Message]]) -> None:
        self._views = views
        self._by_name = {kind.DESCRIPTOR.full_name.encode(): view for kind, view in views.items()}

    def read(self, record: ConsumerRecord) -> Any:
        """The message of one record; None where it is of a type that is not read.

        Raises:
            InvalidInput: As `decode_record`.
        """
        headers = dict(record.headers)
        view = self._by_name.get(headers.get("ce_type", b""))
        if view is None or record.value is None or headers.get("content-type") != _PROTOBUF:
            return self._read_unusual(record)
        try:
            return view.FromString(record.value)
        except DecodeError as error:
            raise InvalidInput(f"{record.topic}: not a {headers['ce_type'].decode()}: {error}") from error

    def _read_unusual(self, record: ConsumerRecord) -> Any:
        """JSON, a type of which nothing is wanted, or something that does not belong here."""
        message = decode_record(record).message
        view = self._views.get(type(message))
        return view.FromString(message.SerializeToString()) if view else None


def dead_letter(record: ConsumerRecord, *, group: str, reason: str) -> Outgoing:
    """The message as it came, with why and where from in its headers."""
    about = {
        "slipway_reason": reason[:2000],
        "slipway_group": group,
        "slipway_source_topic": record.topic,
        "slipway_source_partition": str(record.partition),
        "slipway_source_offset": str(record.offset),
    }
    headers = tuple((k, v) for k, v in record.headers if v is not None)
    return Outgoing(
        topic=dead_letter_topic(record.topic),
        key=(record.key or b"").decode("utf-8", "replace"),
        value=record.value or b"",
        headers=headers + tuple((k, v.encode()) for k, v in about.items()),
    )
