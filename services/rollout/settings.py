"""What the rollout service is told."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Each field is the variable SLIPWAY_<FIELD>."""

    postgres_dsn: str
    mlflow_url: str
    inference_target: str
    lease_s: float = 3.0
    consumer_group: str = "slipway.rollout"
