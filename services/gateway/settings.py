"""What the gateway is told by its environment."""

from dataclasses import dataclass
from typing import Final

from slipway.callback_urls import CallbackPolicy, policy_of
from slipway.errors import InvalidInput
from slipway.job_terms import LONGEST_TTL_S
from slipway.settings import ServiceSettings, variable_name
from slipway.tls import ServerTls
from slipway.topics import JOB_RESULTS

_MIB: Final = 1024 * 1024
_REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_LONGEST_BUDGET_MS: Final = 1000
_AGE_SPREAD: Final = (
    1.1  # gRPC lets connections last up to a tenth longer or less, so that not all end at once
)


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Ports, neighbours and the bounds of what waits on disk."""

    postgres_dsn: str
    admin_port: int
    inference_target: str
    jobs_target: str
    admin_host: str = "127.0.0.1"
    # TLS of the public ports: certificate, its key unless it is in the same file, and the authority whose
    # certificates clients must show (empty: none is asked for).
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    probe_port: int = 0  # 0: health, readiness and metrics are on the HTTP port
    drain_s: float = 0.0
    adopt_from: str = ""
    spool_limit_bytes: int = 1024 * _MIB
    feedback_spool_limit_bytes: int = 256 * _MIB
    jobs_spool_limit_bytes: int = 256 * _MIB
    segment_bytes: int = 16 * _MIB
    upstream_slots: int = 1
    keepalive_s: float = 20.0
    connection_age_s: float = 600.0
    connection_grace_s: float = 30.0
    circuit_failure_share: float = 0.5
    circuit_min_calls: int = 20
    circuit_open_s: float = 2.0
    ejection_s: float = 1.0
    max_ejected_share: float = 0.5
    redis_url: str = ""  # empty: each gateway keeps answers to itself
    cache_bytes: int = 64 * _MIB
    cache_budget_ms: float = 3.0
    cache_stale_s: float = 600.0
    job_ttl_s: float = 24 * 3600.0
    callback_allow: str = ""
    callback_private_networks: str = ""
    reply_topics: str = JOB_RESULTS.name

    def __post_init__(self) -> None:
        smallest = min(self.spool_limit_bytes, self.feedback_spool_limit_bytes, self.jobs_spool_limit_bytes)
        if smallest < 2 * self.segment_bytes:
            raise InvalidInput(
                f"a spool limit of {smallest} bytes holds less than two segments of "
                f"{self.segment_bytes} bytes: raise SLIPWAY_SPOOL_LIMIT_BYTES, "
                "SLIPWAY_FEEDBACK_SPOOL_LIMIT_BYTES and SLIPWAY_JOBS_SPOOL_LIMIT_BYTES "
                "or lower SLIPWAY_SEGMENT_BYTES"
            )
        if self.upstream_slots < 1:
            raise InvalidInput("SLIPWAY_UPSTREAM_SLOTS must be at least 1")
        if min(self.keepalive_s, self.connection_age_s, self.connection_grace_s) <= 0:
            raise InvalidInput(
                "SLIPWAY_KEEPALIVE_S, SLIPWAY_CONNECTION_AGE_S and SLIPWAY_CONNECTION_GRACE_S must be above 0"
            )
        self._check_shares()
        self._check_cache()
        self._check_worker()
        if not 0 < self.job_ttl_s <= LONGEST_TTL_S:
            raise InvalidInput(f"SLIPWAY_JOB_TTL_S must be above 0 and at most {LONGEST_TTL_S:.0f}")
        self.callback_policy()  # a list that cannot be read ends the start

    @property
    def public_tls(self) -> ServerTls | None:
        """How clients come in."""
        if not self.tls_cert:
            return None
        return ServerTls(cert_file=self.tls_cert, key_file=self.tls_key, client_ca=self.tls_client_ca)

    def _check_shares(self) -> None:
        """A share that could never be reached, or a time of 0, would be a setting without effect."""
        for name in ("circuit_failure_share", "max_ejected_share"):
            share = getattr(self, name)
            if not 0 < share <= 1:
                raise InvalidInput(f"{variable_name(name)}={share:g} must be above 0 and at most 1")
        for name in ("circuit_min_calls", "circuit_open_s", "ejection_s"):
            value = getattr(self, name)
            if not value > 0:
                raise InvalidInput(f"{variable_name(name)}={value:g} must be above 0")

    def _check_cache(self) -> None:
        if self.redis_url and not self.redis_url.startswith(_REDIS_SCHEMES):
            # The value holds a password: it is not repeated.
            raise InvalidInput(f"SLIPWAY_REDIS_URL must begin with one of {', '.join(_REDIS_SCHEMES)}")
        if self.cache_bytes < _MIB:
            raise InvalidInput(f"SLIPWAY_CACHE_BYTES={self.cache_bytes} is below 1 MiB ({_MIB})")
        if not 0 < self.cache_budget_ms <= _LONGEST_BUDGET_MS:
            raise InvalidInput(
                f"SLIPWAY_CACHE_BUDGET_MS={self.cache_budget_ms:g} is not within 0..{_LONGEST_BUDGET_MS}"
            )
        if self.cache_stale_s < 0:
            raise InvalidInput(f"SLIPWAY_CACHE_STALE_S={self.cache_stale_s:g} is negative")

    def _check_worker(self) -> None:
        if self.share_ports and not self.probe_port:
            raise InvalidInput(
                "SLIPWAY_SHARE_PORTS needs SLIPWAY_PROBE_PORT: behind a shared port nobody knows whose "
                "readiness and metrics he sees"
            )
        if self.drain_s and not self.drain_s >= _AGE_SPREAD * self.connection_age_s:
            raise InvalidInput(
                f"SLIPWAY_DRAIN_S={self.drain_s:g} ends before connections do: give at least {_AGE_SPREAD} x "
                f"SLIPWAY_CONNECTION_AGE_S={self.connection_age_s:g}, or 0 to cut them off"
            )

    def callback_policy(self) -> CallbackPolicy:
        """Where callbacks may go.

        Raises:
            InvalidInput: An entry cannot be read.
        """
        return policy_of(self.callback_allow, self.callback_private_networks)
