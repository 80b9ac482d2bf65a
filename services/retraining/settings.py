"""What the retraining service is told."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Neighbours and limits; see README.md."""

    postgres_dsn: str
    mlflow_url: str
    ray_address: str
    consumer_group: str = "slipway.retraining"
    batch_messages: int = 500
    max_open_requests: int = 4
    parallel_trainings: int = 2
    max_attempts: int = 5
    step_deadline_s: float = 300.0
    job_deadline_s: float = 3600.0
    retry_s: float = 2.0
    max_dataset_bytes: int = 64 * 1024 * 1024
    housekeeping_every_s: float = 30.0
    keep_jobs: int = 10_000
