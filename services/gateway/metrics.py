"""What the gateway counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_ARM: Final = ["model", "version"]
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 5)

REQUESTS = Counter("slipway_gateway_requests_total", "Predictions by outcome", [*_ARM, "code"])
REQUEST_SECONDS = Histogram(
    "slipway_gateway_request_seconds", "From admission to the answer", _ARM, buckets=_SECONDS
)
QUEUE_SECONDS = Histogram("slipway_gateway_queue_seconds", "Waiting for a slot", _ARM, buckets=_SECONDS)
COMPUTE_SECONDS = Histogram(
    "slipway_gateway_compute_seconds", "One call to a version, by batch", _ARM, buckets=_SECONDS
)
ROWS = Counter("slipway_gateway_rows_total", "Rows answered", _ARM)
BATCH_ROWS = Histogram(
    "slipway_gateway_batch_rows",
    "Rows in one call to a version",
    _ARM,
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
UPSTREAM_RETRIES = Counter("slipway_gateway_upstream_retries_total", "Calls tried on another endpoint", _ARM)
SINGLE_RETRIES = Counter(
    "slipway_gateway_single_retries_total", "Requests of a failed batch tried alone", _ARM
)
REFUSALS = Counter("slipway_gateway_refusals_total", "Requests refused before an arm saw them", ["reason"])
FEEDBACK_ITEMS = Counter("slipway_gateway_feedback_items_total", "Feedback accepted", ["protocol"])
JOBS_SUBMITTED = Counter("slipway_gateway_jobs_submitted_total", "Jobs accepted", ["priority"])
JOB_REFUSALS = Counter("slipway_gateway_job_refusals_total", "Jobs refused at submission")
KEYS = Gauge("slipway_gateway_keys", "API keys in force")
ROUTE_EPOCH = Gauge("slipway_gateway_route_epoch", "Epoch of the route table in force", ["model"])
DIRECTORY_EPOCH = Gauge("slipway_gateway_directory_epoch", "Epoch of the endpoint directory in force")
SPOOL_BYTES = Gauge("slipway_gateway_spool_bytes", "Segment files on disk", ["spool"])
SPOOL_BACKLOG_BYTES = Gauge("slipway_gateway_spool_backlog_bytes", "Not yet shipped to Kafka", ["spool"])
SPOOL_SHIPPED = Counter("slipway_gateway_spool_shipped_total", "Records shipped to Kafka", ["spool"])
SPOOL_DAMAGED_BYTES = Counter(
    "slipway_gateway_spool_damaged_bytes_total",
    "Bytes of segment files that a crash or a disk spoiled",
    ["spool"],
)
