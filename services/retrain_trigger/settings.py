"""Settings of the retrain trigger."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Where its tables are, and how it reads."""

    postgres_dsn: str
    consumer_group: str = "slipway.retrain_trigger"
    batch_messages: int = 500
    kept_decisions: int = 200
