"""Every metric of the feedback service. Counters grow after the transaction has been committed."""

from prometheus_client import Counter, Gauge, Histogram

RECEIVED = Counter("slipway_feedback_received_total", "Feedback messages read, by what they say", ["kind"])
MATCHED = Counter("slipway_feedback_matched_total", "Rows that got a label", ["model"])
CORRECTIONS = Counter("slipway_feedback_corrections_total", "Labels replaced by a different one", ["model"])
RETRACTIONS = Counter("slipway_feedback_retractions_total", "Labels withdrawn", ["model"])
OUTCOMES = Counter(
    "slipway_feedback_outcomes_total", "Outcomes joined to their predictions", ["model", "kind"]
)
UNCHANGED = Counter(
    "slipway_feedback_unchanged_total",
    "Feedback without effect: confirmed (same label again), nothing_to_withdraw",
    ["model", "effect"],
)
DUPLICATES = Counter("slipway_feedback_duplicates_total", "Feedback delivered again")
QUARANTINED = Counter("slipway_feedback_quarantined_total", "Feedback kept apart", ["reason"])
PARKED = Gauge("slipway_feedback_parked", "Early feedback that waits for its prediction")
DOUBLES = Counter("slipway_feedback_prediction_doubles_total", "Second physical records of a prediction")
EXPIRED = Counter("slipway_feedback_expired_total", "Rows whose label did not come in time", ["model"])
PRUNED = Counter("slipway_feedback_pruned_total", "Entries deleted by age or cap", ["table"])
ROWS = Gauge("slipway_feedback_rows", "Rows of predictions that are kept, by state", ["model", "state"])
COVERAGE = Gauge(
    "slipway_feedback_label_coverage_ratio", "Share of the kept rows that have a label", ["model"]
)
JOIN_DELAY = Histogram(
    "slipway_feedback_join_delay_seconds",
    "From serving a prediction to the first label of its row",
    ["model"],
    buckets=(0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400),
)
