"""Alarms as messages."""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.query_watch.domain.watching import Suspicion, Watch
from slipway.envelope import Outgoing, encode
from slipway.topics import EXTRACTION_ALARMS
from slipway.v1.extraction_pb2 import ExtractionCleared, ExtractionSuspected

SERVICE: Final = "query_watch"

Key = tuple[str, str, str]
"""Tenant, principal and model."""


def alarm_of(
    key: Key, suspicion: Suspicion, watch: Watch, *, alarm_id: str, since_s: float, now_s: float
) -> ExtractionSuspected:
    """What is said of a caller under suspicion."""
    tenant, principal, model = key
    return ExtractionSuspected(
        alarm_id=alarm_id,
        tenant=tenant,
        principal=principal,
        model=model,
        signal=suspicion.signal,
        statistic=suspicion.statistic,
        threshold=suspicion.threshold,
        queries=watch.rows,
        new_queries=watch.new,
        since=_time(since_s),
        suspected_at=_time(now_s),
        evidence=suspicion.evidence,
    )


def cleared_of(alarm: ExtractionSuspected, *, by: str, reason: str, now_s: float) -> ExtractionCleared:
    """The end of an alarm."""
    return ExtractionCleared(
        alarm_id=alarm.alarm_id,
        tenant=alarm.tenant,
        principal=alarm.principal,
        model=alarm.model,
        cleared_at=_time(now_s),
        cleared_by=by,
        reason=reason,
    )


def outgoing(message: ExtractionSuspected | ExtractionCleared) -> Outgoing:
    """The message on its way to the topic."""
    kind = "cleared" if isinstance(message, ExtractionCleared) else "suspected"
    return encode(
        EXTRACTION_ALARMS.name,
        message,
        key=f"{message.tenant}/{message.principal}/{message.model}",
        event_id=f"{message.alarm_id}/{kind}",
        source=SERVICE,
    )


def _time(time_s: float) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(int(time_s * 1e9))
    return time
