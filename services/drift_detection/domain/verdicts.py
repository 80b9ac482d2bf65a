"""What one look at one signal says."""

from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """Kinds of drift, named as in the contract without the prefix."""

    DATA = "DATA"
    PREDICTION = "PREDICTION"
    CONCEPT = "CONCEPT"
    PERFORMANCE = "PERFORMANCE"
    DATA_QUALITY = "DATA_QUALITY"
    INPUT_SCORE = "INPUT_SCORE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One measurement against its threshold.

    `clear_below` is the level under which an alarm that this verdict raises ends again; it lies
    under the threshold, so that noise around the threshold does not raise and clear in turns.
    """

    signal: Signal
    subject: str = ""
    statistic_name: str
    statistic: float
    threshold: float
    clear_below: float
    is_raised: bool
    rows: int
    start_s: float
    end_s: float
    evidence: str
