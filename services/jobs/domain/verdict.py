"""What follows from one try of a job."""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from slipway.job_terms import EXPIRED, FAILED

_LATER: Final = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
_ARM: Final = "INTERNAL"
_OVERLOADED: Final = "RESOURCE_EXHAUSTED"
_FIRST_DELAY_S: Final = 0.25
_LONGEST_DELAY_S: Final = 60.0
_MOST_DOUBLINGS: Final = 12
_TIME_BITS: Final = 80
_VERSION: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A job that is tried."""

    job_id: str
    tries: int  # this one included
    attempt: int  # earlier tries whose failure is known
    arm_failures: int
    expires_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The gateway said so: nothing of this try is open."""

    code: str
    message: str

    @property
    def is_overload(self) -> bool:
        """Whether the gateway would rather have fewer."""
        return self.code == _OVERLOADED


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """The call itself failed: whether a prediction was made is open, so the next try must be the same."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try later."""

    due_at_s: float
    attempt: int
    arm_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """No further try."""

    state: str
    code: str
    message: str


def judge(trial: Trial, failure: Failed | Unanswered, *, now_s: float, max_arm_failures: int) -> Again | End:
    """Whether a failed try is followed by another."""
    is_known = isinstance(failure, Failed)
    is_arms = is_known and failure.code == _ARM
    arm_failures = trial.arm_failures + is_arms
    may_pass = failure.code in _LATER or (is_arms and arm_failures < max_arm_failures)
    if is_known and not may_pass:
        return End(state=FAILED, code=failure.code, message=failure.message)
    due_at_s = now_s + delay_s(trial.job_id, trial.tries)
    if due_at_s >= trial.expires_at_s:
        return End(
            state=EXPIRED,
            code=failure.code,
            message=f"its time ran out after {trial.tries} tries; the last one: {failure.message}",
        )
    return Again(due_at_s=due_at_s, attempt=trial.attempt + is_known, arm_failures=arm_failures)


def delay_s(job_id: str, tries: int) -> float:
    """The pause after so many tries: doubling, bounded, and spread so that jobs do not come back together."""
    spread = hashlib.blake2b(f"{job_id}/{tries}".encode(), digest_size=2).digest()
    share = int.from_bytes(spread, "big") / 0xFFFF
    longest: float = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(tries - 1, _MOST_DOUBLINGS))
    return longest * (0.5 + share / 2)


def prediction_id_of(job_id: str, attempt: int) -> str:
    """The id of the prediction that answers an attempt: the same however often the attempt is made.

    A UUIDv7 with the job's time, and a hash where RFC 9562, section 5.7, has random bits.
    """
    time = UUID(job_id).int >> _TIME_BITS
    digest = hashlib.blake2b(f"{job_id}/{attempt}".encode(), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    high, low = bits >> 68, bits & ((1 << 62) - 1)
    return str(UUID(int=time << _TIME_BITS | _VERSION << 76 | high << 64 | 0b10 << 62 | low))
