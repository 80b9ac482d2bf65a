"""What the gateway is told by its environment."""

from dataclasses import dataclass
from typing import Final

from slipway.callback_urls import CallbackPolicy, policy_of
from slipway.errors import InvalidInput
from slipway.job_terms import LONGEST_TTL_S
from slipway.settings import ServiceSettings
from slipway.topics import JOB_RESULTS

_MIB: Final = 1024 * 1024
_SHORTEST_SECRET: Final = 32
PEPPER_FILE: Final = "api_keys.pepper"


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Ports, neighbours and the bounds of what waits on disk."""

    postgres_dsn: str
    admin_port: int
    inference_target: str
    jobs_target: str
    admin_host: str = "127.0.0.1"
    spool_limit_bytes: int = 1024 * _MIB
    feedback_spool_limit_bytes: int = 256 * _MIB
    jobs_spool_limit_bytes: int = 256 * _MIB
    segment_bytes: int = 16 * _MIB
    upstream_slots: int = 1
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
        if not 0 < self.job_ttl_s <= LONGEST_TTL_S:
            raise InvalidInput(f"SLIPWAY_JOB_TTL_S must be above 0 and at most {LONGEST_TTL_S:.0f}")
        self.callback_policy()  # a list that cannot be read ends the start

    def callback_policy(self) -> CallbackPolicy:
        """Where callbacks may go.

        Raises:
            InvalidInput: An entry cannot be read.
        """
        return policy_of(self.callback_allow, self.callback_private_networks)

    def strong_secret(self, name: str) -> bytes:
        """A secret file that is long enough to be one.

        Raises:
            InvalidInput: Missing, empty, or too short.
        """
        text = self.secret(name)
        if len(text) < _SHORTEST_SECRET:
            raise InvalidInput(
                f"secret file {self.secrets_dir / name} has {len(text)} characters; "
                f"{_SHORTEST_SECRET} at least"
            )
        return text.encode()
