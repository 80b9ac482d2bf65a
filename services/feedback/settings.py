"""What the feedback service is told."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings

_DAY_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Limits on what is kept, and for how long; see README.md."""

    postgres_dsn: str
    consumer_group: str = "slipway.feedback"
    batch_messages: int = 2_000
    max_parked_per_tenant: int = 10_000
    park_for_s: float = 7 * _DAY_S
    retention_s: float = 30 * _DAY_S
    max_predictions: int = 2_000_000
    max_feedback_events: int = 5_000_000
    max_quarantined: int = 100_000
    housekeeping_every_s: float = 15.0
    housekeeping_batch_rows: int = 2_000
