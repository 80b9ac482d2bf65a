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
INPUT_SCORE = Histogram(
    "slipway_gateway_input_score",
    "Distance of a request's furthest row from the training data, over the version's threshold",
    _ARM,
    buckets=(0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10, 100),
)
DEFENCE_ACTIONS = Counter(
    "slipway_gateway_defence_actions_total", "Answers about which something was done", [*_ARM, "action"]
)
DEFENCE_FAILURES = Counter(
    "slipway_gateway_defence_failures_total", "Requests that could not be defended as the spec demands", _ARM
)
CIRCUIT_STATE = Gauge("slipway_circuit_state", "0 closed, 1 half open, 2 open", _ARM)
CIRCUIT_TRANSITIONS = Counter(
    "slipway_circuit_transitions_total", "Changes of a version's circuit", [*_ARM, "to_state"]
)
CIRCUIT_REFUSALS = Counter("slipway_circuit_refusals_total", "Calls refused by an open circuit", _ARM)
ENDPOINT_STATE = Gauge("slipway_endpoint_state", "0 active, 1 half open, 2 ejected", [*_ARM, "target"])
ENDPOINT_EJECTIONS = Counter(
    "slipway_endpoint_ejections_total", "Endpoints left out for a while", [*_ARM, "reason"]
)
HEDGES = Counter("slipway_hedges_total", "Second calls beside a slow first one", [*_ARM, "event"])
DEGRADED = Counter(
    "slipway_degraded_total",
    "Answers given in place of a version that could not",
    [*_ARM, "fallback", "code"],
)
SINGLE_RETRIES = Counter(
    "slipway_gateway_single_retries_total", "Requests of a failed batch tried alone", _ARM
)
CACHE_HITS = Counter("slipway_cache_hits_total", "Answers that were not computed again", ["model", "tier"])
CACHE_MISSES = Counter("slipway_cache_misses_total", "Questions no tier had an answer to", ["model"])
CACHE_STALE = Counter("slipway_cache_stale_total", "Old answers given as a fallback", ["model", "tier"])
CACHE_PAYING = Gauge(
    "slipway_cache_paying", "0 while a part of the cache is off because it does not pay", ["model", "part"]
)
CACHE_BYTES = Gauge("slipway_cache_bytes", "Answers in this process")
CACHE_ENTRIES = Gauge("slipway_cache_entries", "Answers in this process")
CACHE_EVICTIONS = Counter("slipway_cache_evictions_total", "Answers given up", ["reason"])
CACHE_ABANDONED = Counter(
    "slipway_cache_abandoned_lookups_total", "Shared lookups not waited for beyond their budget"
)
CACHE_SHARED_ERRORS = Counter(
    "slipway_cache_shared_errors_total", "Calls to the shared store that failed", ["operation"]
)
CACHE_SHARED_STATE = Gauge(
    "slipway_cache_shared_state", "1 while the shared store is in use, 0 while it rests"
)
CACHE_WRITES = Counter("slipway_cache_writes_total", "Answers meant for the shared store", ["outcome"])
CACHE_REJECTED = Counter(
    "slipway_cache_rejected_values_total", "Values of the shared store that are not ours or damaged"
)
REFUSALS = Counter("slipway_gateway_refusals_total", "Requests refused before an arm saw them", ["reason"])
STAGE_SECONDS = Histogram(
    "slipway_request_stage_seconds",
    "Cost of each stage of an answered request, of one request in 17",
    ["model", "stage"],
    buckets=(0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2),
)
QUEUED_ROWS = Gauge("slipway_gateway_queued_rows", "Rows that wait for a version", _ARM)
SLOTS_BUSY = Gauge("slipway_gateway_slots_busy", "Calls to a version that are running", _ARM)
IN_FLIGHT_LIMIT = Gauge("slipway_gateway_in_flight_limit", "Requests a version may have in flight", _ARM)
UNSENT = Counter("slipway_gateway_unsent_total", "Requests failed in the queue: too late to be sent", _ARM)
ABANDONED_CALLS = Counter(
    "slipway_gateway_abandoned_calls_total", "Calls to a version cancelled because all callers had left", _ARM
)
SHADOW_MIRRORED = Counter("slipway_shadow_mirrored_total", "Copies that left a record", [*_ARM, "code"])
SHADOW_SKIPPED = Counter(
    "slipway_shadow_skipped_total", "Copies not made, or not recorded", [*_ARM, "reason"]
)
SHADOW_IN_FLIGHT = Gauge("slipway_shadow_in_flight", "Copies that versions in shadow have not answered")
SHADOW_SECONDS = Histogram("slipway_shadow_seconds", "One copy, answered or failed", _ARM, buckets=_SECONDS)
FEEDBACK_ITEMS = Counter("slipway_gateway_feedback_items_total", "Feedback accepted", ["protocol"])
JOBS_SUBMITTED = Counter("slipway_gateway_jobs_submitted_total", "Jobs accepted", ["priority"])
JOB_REFUSALS = Counter("slipway_gateway_job_refusals_total", "Jobs refused at submission")
LIMIT_REFUSALS = Counter(
    "slipway_limits_refusals_total",
    "Requests over a limit, or whose limit cannot be checked",
    ["limit", "kind"],
)
LIMITS_ALONE = Counter(
    "slipway_limits_admitted_alone_total",
    "Let in by this gateway's own share, the store being away",
    ["limit"],
)
LIMITS_BOUND = Gauge(
    "slipway_limits_overshoot_bound", "What a limit is exceeded by at the most, in its unit", ["limit"]
)
LIMITS_STORE_STATE = Gauge("slipway_limits_store_state", "1 while the store of leases answers")
LIMITS_STORE_ERRORS = Counter(
    "slipway_limits_store_errors_total", "Calls to the store of leases that failed", ["operation"]
)
LIMITS_GATEWAYS = Gauge("slipway_limits_gateways", "Gateways that share the limits")
LIMITS_ACCOUNTS = Gauge("slipway_limits_accounts", "Buckets that this gateway has met")
LIMITS_SETTLED = Counter("slipway_limits_settled_total", "Rows of usage written")
LIMITS_UNSETTLED = Gauge("slipway_limits_unsettled", "Rows of usage that wait to be written")
LIMITS_FILE = Gauge(
    "slipway_limits_file_ok", "0 while the present file makes no sense and the last good one stays"
)
KEYS = Gauge("slipway_gateway_keys", "API keys in force")
ROUTE_EPOCH = Gauge("slipway_gateway_route_epoch", "Epoch of the route table in force", ["model"])
DIRECTORY_EPOCH = Gauge("slipway_gateway_directory_epoch", "Epoch of the endpoint directory in force")
SPOOL_BYTES = Gauge("slipway_gateway_spool_bytes", "Segment files on disk", ["spool"])
SPOOL_BACKLOG_BYTES = Gauge("slipway_gateway_spool_backlog_bytes", "Not yet shipped to Kafka", ["spool"])
SPOOL_FULL = Gauge("slipway_gateway_spool_full", "1 while nothing more is taken on disk", ["spool"])
SPOOL_SHIPPED = Counter("slipway_gateway_spool_shipped_total", "Records shipped to Kafka", ["spool"])
SPOOL_DAMAGED_BYTES = Counter(
    "slipway_gateway_spool_damaged_bytes_total",
    "Bytes of segment files that a crash or a disk spoiled",
    ["spool"],
)
FSYNCS = Counter("slipway_gateway_fsyncs_total", "Group commits of prediction records")
RECORD_WAIT_SECONDS = Histogram(
    "slipway_gateway_record_wait_seconds",
    "What answers of strict models waited for their records",
    ["recording"],
    buckets=_SECONDS,
)
WITHHELD = Counter(
    "slipway_gateway_withheld_total",
    "Answers not given because their records were not safe in time",
    ["model", "recording"],
)
UNRECORDED = Counter(
    "slipway_gateway_unrecorded_total",
    "Answers and failures that left no record, because records had no room",
    ["model", "kind"],
)
