"""Metrics of the retrain trigger."""

from prometheus_client import Counter, Gauge

REQUESTED = Counter("slipway_retrain_requested_total", "Requests to train", ["model", "cause"])
DECLINED = Counter("slipway_retrain_declined_total", "Cases that were declined", ["model", "cause"])
OPEN = Gauge("slipway_retrain_open_requests", "Requests without an outcome", ["model"])
ROWS_SINCE = Gauge("slipway_retrain_rows_since_training", "Labels since the last training", ["model"])
COOL_DOWN = Gauge("slipway_retrain_cool_down_rows", "Labels left of the cool-down", ["model"])
DOUBLES = Counter("slipway_retrain_doubles_total", "Events that came twice and were counted once", ["topic"])
