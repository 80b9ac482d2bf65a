"""Notices as rows: what a receiver is sent, written together with what it tells."""

from typing import Any

import orjson
from google.protobuf import json_format

from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.notice import Notice, notices_of
from services.rollout.notice_store import NoticeRow
from slipway.callback_urls import CallbackPolicy
from slipway.spec import Spec
from slipway.spec_sections import Rollout
from slipway.v1.rollout_pb2 import RolloutEvent


def check_receivers(given: Spec, policy: CallbackPolicy) -> None:
    """Refuse receivers that may not be sent anything.

    Raises:
        InvalidInput: Names the entry, and the setting that would allow it.
    """
    for at, receiver in enumerate(given.rollout.notify):
        policy.check_url(receiver.url, key=f"rollout.notify.{at}.url")


def rows_of_entry(entry: LogEntry, event: RolloutEvent, rollout: Rollout) -> list[NoticeRow]:
    """The notices of one entry of the log."""
    return rows_of(notices_of(entry, rollout), event)


def rows_of(notices: tuple[Notice, ...], event: RolloutEvent) -> list[NoticeRow]:
    """Notices with the event they tell."""
    return [
        NoticeRow(
            id=notice.id,
            model=event.model,
            tenant=event.tenant,
            kind=notice.kind,
            url=notice.receiver.url,
            body=_body(notice, event),
            created_at_s=event.at.ToMicroseconds() / 1e6,
        )
        for notice in notices
    ]


def _body(notice: Notice, event: RolloutEvent) -> bytes:
    if notice.receiver.form == "chat":
        return orjson.dumps({"text": notice.text})
    said: dict[str, Any] = {
        "id": notice.id,
        "kind": notice.kind,
        "text": notice.text,
        "event": json_format.MessageToDict(event),
        "evidence": orjson.loads(event.evidence or "{}"),
    }
    return orjson.dumps(said)
