"""What the inference service is told."""

from dataclasses import dataclass

from slipway.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Environment of the inference service."""

    mlflow_url: str
    ray_address: str
    inference_target: str  # where replicas reach this service
    replica_host: str = "127.0.0.1"  # what replicas bind and announce
    replica_drain_s: float = 10.0
    replica_report_s: float = 1.0
    replica_load_deadline_s: float = 120.0
    replica_retry_first_s: float = 30.0
    replica_retry_limit_s: float = 600.0
    replica_max_loading: int = 4
    ray_lost_after_s: float = 2.0
    model_cache_files: int = 50
    allow_unsigned_models: bool = False
    trial_memory_bytes: int = 3 * 1024**3
    trial_cpu_s: int = 20
    trial_deadline_s: float = 30.0
