"""Every metric of the inference service."""

from prometheus_client import Counter, Gauge, Histogram

VERSIONS = Gauge("slipway_inference_versions", "Versions in the directory", ["state"])
REPLICAS_READY = Gauge("slipway_inference_replicas_ready", "Replicas that take requests")
DIRECTORY_EPOCH = Gauge("slipway_inference_directory_epoch", "Epoch of the directory")
WATCHERS = Gauge("slipway_inference_watchers", "Open streams of the directory")
DEPLOY_SECONDS = Histogram(
    "slipway_inference_deploy_seconds",
    "From the wish for a version to its last replica being ready",
    buckets=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120),
)
FAILURES = Counter("slipway_inference_deploy_failures_total", "Versions that could not be loaded", ["model"])
EXPIRED = Counter("slipway_inference_replicas_expired_total", "Replicas that fell silent", ["model"])
REQUESTS = Counter("slipway_inference_replica_requests_total", "Calls that replicas answered", ["model"])
ROWS = Counter("slipway_inference_replica_rows_total", "Rows that replicas answered", ["model"])
REQUEST_FAILURES = Counter(
    "slipway_inference_replica_failures_total", "Calls that replicas refused", ["model"]
)
COMPUTE_SECONDS = Counter("slipway_inference_replica_compute_seconds_total", "Time in the model", ["model"])
SIGNATURES_REFUSED = Counter(
    "slipway_inference_signatures_refused_total", "Versions unsigned, wrongly signed or changed", ["model"]
)
UNSIGNED_ALLOWED = Gauge("slipway_inference_unsigned_allowed", "1 where signatures are not asked for")
TRIALS = Counter("slipway_inference_trials_total", "Models tried before a replica got them", ["outcome"])
TRIAL_SECONDS = Histogram(
    "slipway_inference_trial_seconds",
    "A model tried in a process of its own",
    buckets=(0.25, 0.5, 1, 2, 4, 8, 15, 30, 60),
)
TRIAL_WALLS = Gauge(
    "slipway_inference_trial_walls", "1 for what kept the last trial from the network", ["walls"]
)
