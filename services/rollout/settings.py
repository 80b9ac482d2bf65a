"""What the rollout service is told."""

from dataclasses import dataclass
from typing import Final

from slipway.callback_urls import CallbackPolicy, policy_of
from slipway.errors import InvalidInput
from slipway.settings import ServiceSettings

CALLBACK_KEY_FILE: Final = "callback.key"


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    """Each field is the variable SLIPWAY_<FIELD>."""

    postgres_dsn: str
    mlflow_url: str
    inference_target: str
    lease_s: float = 3.0
    reconcile_s: float = 60.0
    consumer_group: str = "slipway.rollout"
    callback_allow: str = ""
    callback_private_networks: str = ""
    notice_timeout_s: float = 10.0
    notice_deadline_s: float = 3600.0
    parallel_notices: int = 64
    max_pending_notices: int = 500

    def __post_init__(self) -> None:
        if min(self.parallel_notices, self.max_pending_notices) < 1:
            raise InvalidInput("SLIPWAY_PARALLEL_NOTICES and SLIPWAY_MAX_PENDING_NOTICES must be at least 1")
        self.receivers()

    def receivers(self) -> CallbackPolicy:
        """Where notices may go: the list that the callbacks of jobs have.

        Raises:
            InvalidInput: An entry cannot be read.
        """
        return policy_of(self.callback_allow, self.callback_private_networks)

    def callback_key(self) -> bytes:
        """The secret that the models' secrets are derived from.

        Raises:
            InvalidInput: Missing or too short.
        """
        return self.secret(CALLBACK_KEY_FILE).encode()
