"""The metrics of one version, looked up once."""

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import Counter, Histogram

from services.gateway import metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMetrics:
    """Children by model and version."""

    answered: Counter
    rows: Counter
    request_seconds: Histogram
    queue_seconds: Histogram
    compute_seconds: Histogram
    batch_rows: Histogram
    single_retries: Counter
    unsent: Counter
    abandoned_calls: Counter


@lru_cache(1024)
def arm_metrics(model: str, version: str) -> ArmMetrics:
    """The children of a version."""
    return ArmMetrics(
        answered=metrics.REQUESTS.labels(model, version, "OK"),
        rows=metrics.ROWS.labels(model, version),
        request_seconds=metrics.REQUEST_SECONDS.labels(model, version),
        queue_seconds=metrics.QUEUE_SECONDS.labels(model, version),
        compute_seconds=metrics.COMPUTE_SECONDS.labels(model, version),
        batch_rows=metrics.BATCH_ROWS.labels(model, version),
        single_retries=metrics.SINGLE_RETRIES.labels(model, version),
        unsent=metrics.UNSENT.labels(model, version),
        abandoned_calls=metrics.ABANDONED_CALLS.labels(model, version),
    )
