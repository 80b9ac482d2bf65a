"""Which answered requests are copied to a version in shadow: by chance, and never more than is set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.gateway.domain import elements
from services.gateway.domain.batching import Columns
from services.gateway.domain.routing import Arm, bucket_of
from slipway.signature import TensorSpec

# Why a request whose turn it was is not copied, or its copy not recorded.
RATE: Final = "rate"
IN_FLIGHT: Final = "in_flight"
MEMORY: Final = "memory"
SATURATED: Final = "saturated"
NO_ENDPOINT: Final = "no_endpoint"
SPOOL: Final = "spool"
STOPPING: Final = "stopping"
DROPPED: Final = "dropped"
_APART: Final = "\0shadow"  # behind the salt: a unit's place and its requests' turns are independent
_BURST_S: Final = 0.1  # of the rate may come at once


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorLimits:
    """What copies may take of a gateway.

    Attributes:
        in_flight_per_arm: So a version that hangs keeps no copies from the others.
        in_flight: Of all versions.
        memory_bytes: Requests and answers that are held for copies.
        spool_share: Of the room for records; above it, records of copies give way to those of answers.
        late_s: A copy whose turn comes so late belongs to an event loop that has other things to do.
    """

    in_flight_per_arm: int = 16
    in_flight: int = 64
    memory_bytes: int = 16 * 1024 * 1024
    spool_share: float = 0.25
    late_s: float = 0.1


def is_chosen(arm: Arm, prediction_id: str, *, salt: str) -> bool:
    """Whether a request's turn it is: a share of `mirror_ppm`, whatever arm its unit has."""
    return bucket_of(prediction_id, salt + _APART) < arm.mirror_ppm


def answered_texts(outputs: Sequence[TensorSpec], columns: Columns) -> list[str]:
    """What was answered for each row as text, in the form that feedback is compared with: class or number.

    Args:
        outputs: The signature's.
        columns: Their raw tensors.
    """
    answer = columns[0]  # of classifiers the label, of regressors the number
    if outputs[0].datatype == "BYTES":
        return [text.decode("utf-8", "replace").replace("\0", "") for text in elements.split_all(answer)]
    # The shortest text of a number is that of its own precision.
    return [str(value) for value in np.frombuffer(answer, dtype="<f4")]


class TokenBucket:
    """At most so many a second, a tenth of a second's worth at once.

    Source: J. Turner, "New directions in communications (or which way to the information age?)", IEEE
        Communications Magazine 24 (10), 1986, the leaky bucket as a meter.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._last_s: float | None = None

    def take(self, rate_per_s: float, now_s: float) -> bool:
        """Take one, if there is one; full at first."""
        most = max(1.0, rate_per_s * _BURST_S)
        grown = most if self._last_s is None else self._tokens + rate_per_s * (now_s - self._last_s)
        self._tokens, self._last_s = min(most, grown), now_s
        if rate_per_s <= 0 or self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Room:
    """Copies in flight, and the memory that they hold."""

    def __init__(self, limits: MirrorLimits) -> None:
        self._limits = limits
        self._by_arm: dict[tuple[str, str], int] = {}
        self.in_flight = 0
        self.held_bytes = 0

    def refusal(self, arm: tuple[str, str], size_bytes: int) -> str | None:
        """Why there is no room for another copy; None where there is."""
        limits = self._limits
        if self.in_flight >= limits.in_flight or self._by_arm.get(arm, 0) >= limits.in_flight_per_arm:
            return IN_FLIGHT
        return MEMORY if self.held_bytes + size_bytes > limits.memory_bytes else None

    def enter(self, arm: tuple[str, str], size_bytes: int) -> None:
        """A copy is under way."""
        self._by_arm[arm] = self._by_arm.get(arm, 0) + 1
        self.in_flight += 1
        self.held_bytes += size_bytes

    def leave(self, arm: tuple[str, str], size_bytes: int) -> None:
        """It has ended."""
        left = self._by_arm[arm] - 1
        if left:
            self._by_arm[arm] = left
        else:
            del self._by_arm[arm]
        self.in_flight -= 1
        self.held_bytes -= size_bytes
