"""Settings of the query watch."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Where its tables are, and how it reads."""

    postgres_dsn: str
    consumer_group: str = "slipway.query_watch"
    batch_messages: int = 500
    rows_per_request: int = 32
    kept_callers: int = 20_000
