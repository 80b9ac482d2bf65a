"""What the jobs service counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 86400)

RECEIVED = Counter("slipway_jobs_received_total", "Jobs taken from their topics", ["priority"])
DOUBLES = Counter("slipway_jobs_doubles_total", "Jobs that came a second time", ["priority"])
ENDED = Counter("slipway_jobs_ended_total", "Jobs that ended", ["state"])
RETRIES = Counter("slipway_jobs_retries_total", "Tries that did not end a job, by code", ["code"])
RECLAIMED = Counter("slipway_jobs_reclaimed_total", "Jobs taken over from a process that was killed")
DISCARDED = Counter("slipway_jobs_discarded_total", "Answers of jobs that had ended otherwise meanwhile")
WAIT_SECONDS = Histogram(
    "slipway_jobs_wait_seconds", "From submission to the end", ["priority"], buckets=_SECONDS
)
QUEUED = Gauge("slipway_jobs_queued", "Jobs that wait", ["priority"])
RUNNING = Gauge("slipway_jobs_running", "Jobs with the gateway")
PARALLEL_LIMIT = Gauge("slipway_jobs_parallel_limit", "Jobs that may be with the gateway now")
RESULTS_BYTES = Gauge("slipway_jobs_results_bytes", "Results that are kept")
RESULTS_DELETED = Counter("slipway_jobs_results_deleted_total", "Results deleted, by why", ["reason"])
CALLBACKS = Counter("slipway_jobs_callbacks_total", "Attempts to deliver, by outcome", ["outcome"])
CALLBACKS_PENDING = Gauge("slipway_jobs_callbacks_pending", "Callbacks that wait for delivery")
