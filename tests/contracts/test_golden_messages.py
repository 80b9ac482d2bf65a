"""What an earlier release wrote can still be read: bytes that were stored once, never regenerated."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from slipway.topics import SOURCES

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden_messages.json").read_text())
TYPES = {m.DESCRIPTOR.full_name: m for t in SOURCES for m in t.messages}


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda e: e["type"])
def test_stored_bytes_mean_what_they_meant(entry: dict[str, Any]) -> None:
    message = TYPES[entry["type"]].FromString(bytes.fromhex(entry["bytes"]))
    assert json_format.MessageToDict(message) == entry["meaning"]


def test_every_message_of_every_topic_has_a_golden_one() -> None:
    assert {e["type"] for e in GOLDEN} == set(TYPES)


def test_every_topic_is_bounded_or_compacted() -> None:
    for topic in SOURCES:
        config = topic.config
        bounded = "retention.ms" in config and "retention.bytes" in config
        assert bounded or config["cleanup.policy"] == "compact", topic.name
