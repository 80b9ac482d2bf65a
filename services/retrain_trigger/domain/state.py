"""What the decision to retrain one model rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LIVE_STATES: Final = frozenset({"WARMING", "CANARY", "BAKE"})

CONCEPT: Final = "CONCEPT"
DATA: Final = "DATA"
DATA_QUALITY: Final = "DATA_QUALITY"
SECONDARY: Final = frozenset({DATA, "PREDICTION", "PERFORMANCE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that is on. A spent one has led to a request already."""

    alarm_id: str
    signal: str
    subject: str
    version: str
    since_s: float
    evidence: str
    is_spent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """A request whose outcome is not known yet."""

    request_id: str
    requested_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """One model. `rows` counts its labels and is the clock; a row number is a time on it."""

    champion: str = ""
    rollout_state: str = "IDLE"
    rows: int = 0
    trained_at_row: int = 0
    new_labels: Mapping[str, int] = field(default_factory=dict)  # by class, since the last training
    cool_down_rows: int | None = None  # length of the next one; None = as the policy says
    cool_down_until_row: int = 0
    alarms: tuple[Alarm, ...] = ()
    secondary_since_row: int | None = None
    open_request: OpenRequest | None = None
    last_decline: str = ""  # what was declined and why, so that it is said once
    requests: int = 0
    declined: int = 0

    @property
    def current_alarms(self) -> tuple[Alarm, ...]:
        """Alarms about the version that serves."""
        return tuple(a for a in self.alarms if self.champion in ("", a.version))

    @property
    def rows_since_training(self) -> int:
        """Labels that came after the last training was asked for."""
        return self.rows - self.trained_at_row

    @property
    def cool_down_rows_left(self) -> int:
        """Labels to wait for before the next request."""
        return max(0, self.cool_down_until_row - self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the model's owner asked for."""

    is_automatic: bool
    classes: tuple[str, ...]
    features: int
    drifted_features_share: float
    min_rows: int
    min_rows_per_class: int
    cool_down_rows: int
    max_cool_down_rows: int
    max_staleness_rows: int
    secondary_rows: int
    open_request_timeout_s: float
