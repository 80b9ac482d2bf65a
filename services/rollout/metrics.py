"""Every metric of the rollout service."""

from prometheus_client import Counter, Gauge

TRANSITIONS = Counter(
    "slipway_rollout_transitions_total", "Entries of the rollout log", ["to_state", "trigger"]
)
ROUTE_EPOCH = Gauge("slipway_rollout_route_epoch", "Epoch of the model's route table", ["model"])
LIVE = Gauge("slipway_rollout_is_live", "1 while a rollout of the model is under way", ["model"])
CANARY_SHARE = Gauge("slipway_rollout_canary_share", "Share of the units that the canary answers", ["model"])
E_VALUE = Gauge(
    "slipway_rollout_e_value", "Evidence of harm by the new version; it is taken back at 1 / alpha", ["model"]
)
RECORDS = Counter("slipway_rollout_records_total", "Prediction records read", ["use"])
LATE_RECORDS = Counter("slipway_rollout_late_records_total", "Labels and outcomes by use", ["use"])
SHADOW_RECORDS = Counter("slipway_rollout_shadow_records_total", "Answers in shadow by use", ["use"])
PAIRS = Counter("slipway_rollout_pairs_total", "Labelled requests that both versions answered")
LEASE_HELD = Gauge("slipway_rollout_is_leader", "1 where this process holds the lease")
RECONCILED = Counter(
    "slipway_rollout_reconciled_total", "Routes or specs on Kafka that differed from the log", ["topic"]
)
NOTICES = Counter("slipway_rollout_notices_total", "Attempts to deliver notices, by outcome", ["outcome"])
NOTICES_PENDING = Gauge("slipway_rollout_notices_pending", "Notices that wait for delivery")
ALIAS_FAILURES = Counter(
    "slipway_rollout_alias_failures_total", "Attempts to set the registry's champion that failed"
)
UNSERVED = Gauge(
    "slipway_rollout_champion_is_unserved", "1 where replicas do not serve what was promoted", ["model"]
)
