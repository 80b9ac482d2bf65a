"""Metrics of the query watch."""

from prometheus_client import Counter, Gauge

ROWS = Counter("slipway_query_watch_rows_total", "Rows that were looked at", ["model"])
PASSED_OVER = Counter(
    "slipway_query_watch_passed_over_rows_total", "Rows that were not looked at, by reason", ["reason"]
)
ALARMS = Counter("slipway_query_watch_alarms_total", "Callers that came under suspicion", ["model", "signal"])
SUSPECTS = Gauge("slipway_query_watch_suspects", "Callers under suspicion now")
