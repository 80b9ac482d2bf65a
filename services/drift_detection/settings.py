"""Settings of the drift detection service."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Nothing beyond what every service is told but the identity of this instance."""

    drift_app_id: str = "slipway.drift_detection"
    drift_instance: str = "0"
