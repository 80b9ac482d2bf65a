"""Notices as the bytes that receivers get."""

import json

import pytest

from services.rollout.domain.log_entry import LogEntry, Version
from services.rollout.domain.state_machine import State, Trigger
from services.rollout.messages import to_event
from services.rollout.notice_delivery import receiver_of
from services.rollout.notices import check_receivers, rows_of_entry
from slipway import spec
from slipway.callback_urls import policy_of
from slipway.errors import InvalidInput

SPEC = spec.parse("""
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
rollout:
  notify:
    - {url: "https://hooks.example.com/slipway/all"}
    - {url: "https://chat.example.com/T0/secret", form: chat}
""")
ENTRY = LogEntry(
    model="m",
    seq=3,
    rollout_id="r1",
    from_state=State.CANARY,
    to_state=State.ABORTED,
    trigger=Trigger.GUARD_FAILED,
    subject=Version(version="7", digest="d7"),
    step=-1,
    weight_ppm=0,
    actor="rollout",
    reason="5 failures of 5",
    evidence={"step_rows": 12},
    epoch=9,
    fence=1,
    at_s=1_700_000_000.5,
)


def test_programs_get_the_event_with_its_evidence_and_a_chat_gets_one_line() -> None:
    event = to_event(ENTRY, tenant="default", champion_version="6")
    full, chat = rows_of_entry(ENTRY, event, SPEC.rollout)
    told = json.loads(full.body)
    assert (told["id"], told["kind"], told["evidence"]) == ("m/3/0", "taken_back", {"step_rows": 12})
    assert (told["event"]["toState"], told["event"]["championVersion"]) == ("ABORTED", "6")
    assert json.loads(chat.body) == {
        "text": "m: version 7 is taken back (ABORTED) by rollout: 5 failures of 5"
    }
    assert [(row.lane, row.created_at_s) for row in (full, chat)] == [
        ("m https://hooks.example.com/slipway/all", 1_700_000_000.5),
        ("m https://chat.example.com/T0/secret", 1_700_000_000.5),
    ]


def test_a_receiver_that_is_not_on_the_list_is_named_by_its_place() -> None:
    check_receivers(SPEC, policy_of("https://hooks.example.com/, https://chat.example.com/T0/", ""))
    with pytest.raises(InvalidInput, match=r"rollout\.notify\.1\.url .* SLIPWAY_CALLBACK_ALLOW"):
        check_receivers(SPEC, policy_of("https://hooks.example.com/slipway/", ""))


def test_a_chats_secret_path_is_shown_to_nobody() -> None:
    assert receiver_of("https://chat.example.com:8443/T0/secret?x=y") == "https://chat.example.com"
