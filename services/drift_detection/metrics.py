"""Metrics of the drift detection service."""

from prometheus_client import Counter, Gauge

BLOCKS = Counter("slipway_drift_blocks_total", "Blocks published", ["source_topic"])
DOUBLES = Counter("slipway_drift_doubles_total", "Records that came twice and were counted once", ["topic"])
CHANGES = Counter("slipway_drift_alarm_changes_total", "Alarms raised and cleared", ["signal", "change"])
ACTIVE = Gauge("slipway_drift_active_alarms", "Alarms that are on", ["model"])
ERROR_SHARE = Gauge("slipway_drift_error_share", "Error of the champion over the last label block", ["model"])
