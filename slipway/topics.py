"""The topic table: what travels where, who writes, who reads, how long it is kept."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from slipway.job_terms import PRIORITIES
from slipway.v1 import (
    drift_pb2,
    extraction_pb2,
    feedback_pb2,
    identities_pb2,
    jobs_pb2,
    predictions_pb2,
    retraining_pb2,
    rollout_pb2,
)

_HOUR_MS: Final = 3_600_000
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One row of the table."""

    name: str
    key: str
    messages: tuple[type[Message], ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    partitions: int = 4
    compacted: bool = False
    retention_hours: int = 7 * 24
    retention_mib_per_partition: int = 512

    @property
    def config(self) -> dict[str, str]:
        """The broker's settings for this topic: bounded by time and by bytes, or compacted."""
        common = {"segment.bytes": str(64 * _MIB), "max.message.bytes": str(8 * _MIB)}
        if self.compacted:
            return {**common, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        return {
            **common,
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_hours * _HOUR_MS),
            "retention.bytes": str(self.retention_mib_per_partition * _MIB),
        }


PREDICTIONS = Topic(
    name="predictions",
    key="prediction id",
    messages=(
        predictions_pb2.PredictionServed,
        predictions_pb2.PredictionFailed,
        predictions_pb2.PredictionWithheld,
        predictions_pb2.PredictionsUnrecorded,
    ),
    writers=("gateway",),
    readers=("feedback", "drift_detection", "rollout", "query_watch"),
)
SHADOW_PREDICTIONS = Topic(
    name="shadow_predictions",
    key="prediction id",
    messages=(predictions_pb2.PredictionShadowed,),
    writers=("gateway",),
    readers=("rollout",),
)
FEEDBACK = Topic(
    name="feedback",
    key="prediction id",
    messages=(feedback_pb2.FeedbackReceived,),
    writers=("gateway", "client applications"),
    readers=("feedback",),
)
LABELS = Topic(
    name="labels",
    key="prediction id",
    messages=(feedback_pb2.LabelMatched, feedback_pb2.LabelRetracted, feedback_pb2.OutcomeMatched),
    writers=("feedback",),
    readers=("drift_detection", "retrain_trigger", "retraining", "rollout"),
)
DRIFT_BLOCKS = Topic(
    name="drift_blocks",
    key="model",
    messages=(drift_pb2.DriftBlock,),
    writers=("drift_detection",),
    readers=("drift_detection",),
)
DRIFT_ALARMS = Topic(
    name="drift_alarms",
    key="model",
    messages=(drift_pb2.DriftDetected, drift_pb2.DriftCleared),
    writers=("drift_detection",),
    readers=("retrain_trigger",),
)
RETRAIN_REQUESTS = Topic(
    name="retrain_requests",
    key="model",
    messages=(retraining_pb2.RetrainRequested, retraining_pb2.RetrainDeclined),
    writers=("retrain_trigger",),
    readers=("retraining",),
)
CANDIDATES = Topic(
    name="candidates",
    key="model",
    messages=(
        retraining_pb2.CandidateBlessed,
        retraining_pb2.CandidateRejected,
        retraining_pb2.CandidateInsufficient,
    ),
    writers=("retraining",),
    readers=("rollout", "retrain_trigger"),
)
ROLLOUT_EVENTS = Topic(
    name="rollout_events",
    key="model",
    messages=(rollout_pb2.RolloutEvent,),
    writers=("rollout",),
    readers=("retrain_trigger", "retraining"),
)
EXTRACTION_ALARMS = Topic(
    name="extraction_alarms",
    key="tenant/principal/model",
    messages=(extraction_pb2.ExtractionSuspected, extraction_pb2.ExtractionCleared),
    writers=("query_watch",),
    readers=("gateway",),
    partitions=1,
    compacted=True,
)
ROUTES = Topic(
    name="routes",
    key="model",
    messages=(rollout_pb2.RouteTable,),
    writers=("rollout",),
    readers=("gateway", "inference", "drift_detection", "rollout", "query_watch"),
    partitions=1,
    compacted=True,
)
MODEL_SPECS = Topic(
    name="model_specs",
    key="model",
    messages=(rollout_pb2.ModelSpec,),
    writers=("rollout",),
    readers=(
        "gateway",
        "inference",
        "feedback",
        "drift_detection",
        "retrain_trigger",
        "retraining",
        "rollout",
        "query_watch",
    ),
    partitions=1,
    compacted=True,
)
IDENTITIES = Topic(
    name="identities",
    key="key id",
    messages=(identities_pb2.IdentityChanged,),
    writers=("gateway",),
    readers=("rollout", "inference", "feedback", "retrain_trigger", "retraining", "jobs", "query_watch"),
    partitions=1,
    compacted=True,
)
# A topic for each priority, so that a thousand low jobs are not in front of a high one. Kept as long as
# the longest job may wait.
INFERENCE_JOBS: Final = {
    priority: Topic(
        name=f"inference_jobs_{priority}",
        key="job id",
        messages=(jobs_pb2.JobSubmitted,),
        writers=("gateway",),
        readers=("jobs",),
        retention_mib_per_partition=2048,
    )
    for priority in PRIORITIES
}
JOB_RESULTS = Topic(
    name="job_results",
    key="principal",
    messages=(jobs_pb2.JobFinished,),
    writers=("jobs",),
    readers=("client applications",),
)
SOURCES: Final = (
    PREDICTIONS,
    SHADOW_PREDICTIONS,
    FEEDBACK,
    LABELS,
    DRIFT_BLOCKS,
    DRIFT_ALARMS,
    RETRAIN_REQUESTS,
    CANDIDATES,
    ROLLOUT_EVENTS,
    EXTRACTION_ALARMS,
    ROUTES,
    MODEL_SPECS,
    IDENTITIES,
    *INFERENCE_JOBS.values(),
    JOB_RESULTS,
)


def dead_letter_topic(name: str) -> str:
    """Where a poison message of topic `name` goes."""
    return f"{name}.dlq"


def _dead_letters(source: Topic) -> Topic:
    return Topic(
        name=dead_letter_topic(source.name),
        key=source.key,
        messages=(),
        writers=source.readers,
        readers=(),
        partitions=1,
        retention_mib_per_partition=64,
    )


TOPICS: Final = SOURCES + tuple(_dead_letters(topic) for topic in SOURCES)
BY_NAME: Final = {topic.name: topic for topic in TOPICS}
