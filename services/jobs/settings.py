"""What the jobs service is told."""

from dataclasses import dataclass
from typing import Final

from slipway.callback_urls import CallbackPolicy, policy_of
from slipway.errors import InvalidInput
from slipway.job_terms import LONGEST_TTL_S, split_list
from slipway.settings import ServiceSettings
from slipway.topics import JOB_RESULTS

_MIB: Final = 1024 * 1024
_DAY_S: Final = 24 * 3600.0
_LARGEST_RESULT_BYTES: Final = 4_000_000  # with what surrounds it, within one gRPC message of 4 MiB
CALLBACK_KEY_FILE: Final = "callback.key"


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Bounds of what waits, runs and is kept; see README.md."""

    postgres_dsn: str
    gateway_admin_target: str
    consumer_group: str = "slipway.jobs"
    batch_messages: int = 50
    max_parallel: int = 16
    call_timeout_s: float = 30.0
    max_arm_failures: int = 3
    max_queued_jobs: int = 100_000
    max_queued_bytes: int = 512 * _MIB
    result_ttl_s: float = _DAY_S
    max_result_bytes: int = _LARGEST_RESULT_BYTES
    max_results_bytes: int = 1024 * _MIB
    job_retention_s: float = 8 * _DAY_S
    max_jobs: int = 1_000_000
    callback_allow: str = ""
    callback_private_networks: str = ""
    callback_deadline_s: float = 3600.0
    callback_timeout_s: float = 10.0
    parallel_callbacks: int = 8
    reply_topics: str = JOB_RESULTS.name
    housekeeping_every_s: float = 15.0
    housekeeping_batch_rows: int = 2_000

    def __post_init__(self) -> None:
        if min(self.max_parallel, self.parallel_callbacks, self.batch_messages) < 1:
            raise InvalidInput(
                "SLIPWAY_MAX_PARALLEL, SLIPWAY_PARALLEL_CALLBACKS, SLIPWAY_BATCH_MESSAGES must be at least 1"
            )
        if not 0 < self.max_result_bytes <= _LARGEST_RESULT_BYTES:
            raise InvalidInput(f"SLIPWAY_MAX_RESULT_BYTES must be 1 to {_LARGEST_RESULT_BYTES}")
        if self.callback_deadline_s > self.result_ttl_s:
            raise InvalidInput(
                f"SLIPWAY_CALLBACK_DEADLINE_S={self.callback_deadline_s:.0f} is longer than "
                f"SLIPWAY_RESULT_TTL_S={self.result_ttl_s:.0f}: late callbacks would have nothing to send"
            )
        if self.job_retention_s < max(LONGEST_TTL_S, self.result_ttl_s):
            raise InvalidInput(
                f"SLIPWAY_JOB_RETENTION_S must be at least {max(LONGEST_TTL_S, self.result_ttl_s):.0f}: "
                "a job that is forgotten earlier would seem to be on its way"
            )
        self.callback_policy()

    def callback_policy(self) -> CallbackPolicy:
        """Where callbacks may go.

        Raises:
            InvalidInput: An entry cannot be read.
        """
        return policy_of(self.callback_allow, self.callback_private_networks)

    def extra_reply_topics(self) -> tuple[str, ...]:
        """Topics of others that replies may go to."""
        return tuple(name for name in split_list(self.reply_topics) if name != JOB_RESULTS.name)

    def callback_key(self) -> bytes:
        """The secret that callback secrets are derived from.

        Raises:
            InvalidInput: Missing or too short.
        """
        return self.secret(CALLBACK_KEY_FILE).encode()
