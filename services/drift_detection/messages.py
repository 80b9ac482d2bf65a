"""Blocks and alarms between their protobuf form and the domain."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.drift_detection.domain.accumulation import Block
from services.drift_detection.domain.alarms import Change, Raised
from services.drift_detection.domain.sketch import FeatureSketch, Sketch
from slipway.envelope import Outgoing, encode
from slipway.topics import DRIFT_ALARMS, DRIFT_BLOCKS
from slipway.v1.drift_pb2 import DriftBlock, DriftCleared, DriftDetected, DriftSignal, FeatureCounts

_SERVICE = "drift_detection"


def block_message(block: Block, *, model: str, version: str, topic: str, partition: int) -> Outgoing:
    """One block on its way to `drift_blocks`."""
    sketch = block.sketch
    message = DriftBlock(
        model=model,
        version=version,
        source_topic=topic,
        source_partition=partition,
        first_offset=block.first_offset,
        last_offset=block.last_offset,
        first_at=_time(sketch.first_at_s),
        last_at=_time(sketch.last_at_s),
        rows=sketch.rows,
        features=[
            FeatureCounts(feature=name, counts=f.counts, outside=f.outside, missing=f.missing)
            for name, f in sketch.features.items()
        ],
        predicted_counts=sketch.predicted,
        labels=sketch.labels,
        errors=sketch.errors,
        label_counts=sketch.label_counts,
        scored=sketch.scored,
        unusual=sketch.unusual,
    )
    event_id = f"{topic}/{partition}/{model}/{version}/{block.first_offset}-{block.last_offset}"
    return encode(DRIFT_BLOCKS.name, message, key=model, event_id=event_id, source=_SERVICE)


def source_of(message: DriftBlock) -> str:
    """Where the records of a block came from."""
    return f"{message.source_topic}/{message.source_partition}/{message.version}"


def block_of(message: DriftBlock) -> Block:
    """The block in a message."""
    sketch = Sketch(
        rows=message.rows,
        features={
            f.feature: FeatureSketch(counts=tuple(f.counts), outside=f.outside, missing=f.missing)
            for f in message.features
        },
        predicted=tuple(message.predicted_counts),
        labels=message.labels,
        errors=message.errors,
        label_counts=tuple(message.label_counts),
        scored=message.scored,
        unusual=message.unusual,
        first_at_s=message.first_at.ToNanoseconds() / 1e9,
        last_at_s=message.last_at.ToNanoseconds() / 1e9,
    )
    return Block(first_offset=message.first_offset, last_offset=message.last_offset, sketch=sketch)


def alarm_message(change: Change, *, model: str, version: str, tenant: str, now_s: float) -> Outgoing:
    """One alarm that came on or ended, on its way to `drift_alarms`."""
    alarm = change.alarm
    alarm_id = f"{model}/{alarm.alarm_id}"
    about: dict[str, Any] = {
        "alarm_id": alarm_id,
        "tenant": tenant,
        "model": model,
        "version": version,
        "signal": DriftSignal.Value(f"DRIFT_SIGNAL_{alarm.signal}"),
        "subject": alarm.subject,
    }
    message: DriftDetected | DriftCleared
    if isinstance(change, Raised):
        verdict = change.verdict
        message = DriftDetected(
            **about,
            statistic_name=verdict.statistic_name,
            statistic=verdict.statistic,
            threshold=verdict.threshold,
            rows=verdict.rows,
            window_start=_time(verdict.start_s),
            window_end=_time(verdict.end_s),
            detected_at=_time(now_s),
            evidence=verdict.evidence,
        )
    else:
        message = DriftCleared(**about, cleared_at=_time(now_s), evidence=change.evidence)
    kind = "detected" if isinstance(change, Raised) else "cleared"
    return encode(DRIFT_ALARMS.name, message, key=model, event_id=f"{alarm_id}/{kind}", source=_SERVICE)


def _time(at_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(round(at_s * 1e9))
    return stamp
