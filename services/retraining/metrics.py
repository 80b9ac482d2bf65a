"""Every metric of the retraining service. Counters grow after the transaction has been committed."""

from prometheus_client import Counter, Gauge, Histogram

LABELS = Counter("slipway_retraining_labels_total", "Label messages taken in, by kind", ["model", "kind"])
EXAMPLES = Gauge("slipway_retraining_examples", "Rows that can be learned from", ["model"])
PRUNED = Counter("slipway_retraining_pruned_total", "Rows deleted above keep_rows", ["model"])
DATASETS = Counter("slipway_retraining_datasets_total", "Datasets registered", ["model"])
OPEN = Gauge("slipway_retraining_open_requests", "Requests taken but not decided", ["model"])
REQUESTS = Counter("slipway_retraining_requests_total", "Requests taken, by cause", ["model", "cause"])
DECIDED = Counter("slipway_retraining_decided_total", "Trainings decided, by outcome", ["model", "outcome"])
RETRIES = Counter(
    "slipway_retraining_retries_total", "Trainings begun again after a part was away", ["model"]
)
ACCURACY = Gauge("slipway_retraining_holdout_accuracy_ratio", "At the last gate", ["model", "contestant"])
STEP = Histogram(
    "slipway_retraining_step_duration_seconds",
    "One step of a training, waiting for a core included",
    ["step"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
TRAINING = Histogram(
    "slipway_retraining_training_duration_seconds",
    "From the start of a training to its decision",
    ["model"],
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3600),
)
