"""What the inference service is told."""

from dataclasses import dataclass, replace

from slipway.errors import InvalidInput
from slipway.settings import ServiceSettings
from slipway.tls import ServerTls, parse_target, unparse_target


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Environment of the inference service."""

    mlflow_url: str
    ray_address: str
    inference_target: str  # where replicas reach this service
    replica_host: str = "127.0.0.1"  # what replicas bind and announce
    # What replicas show to gateways and to the desk, with its key; empty: they answer anybody, in the clear.
    replica_cert: str = ""
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

    def __post_init__(self) -> None:
        if self.replica_cert and not self.mesh_ca:
            raise InvalidInput(
                "SLIPWAY_REPLICA_CERT needs SLIPWAY_MESH_CA: by it replicas know that a gateway calls"
            )

    @property
    def replica_tls(self) -> ServerTls | None:
        """How gateways come in to replicas."""
        if not self.replica_cert:
            return None
        return ServerTls(cert_file=self.replica_cert, client_ca=self.mesh_ca)

    @property
    def desk_target(self) -> str:
        """This service as replicas reach it: with their own certificate, never with ours."""
        target = parse_target(self.inference_target)
        if not (target.is_encrypted and self.replica_cert):
            return self.inference_target
        return unparse_target(replace(target, cert_file=self.replica_cert))
