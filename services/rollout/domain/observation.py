"""What one prediction record says about the arm that answered it."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["good", "failed", "slow", "malformed", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One request that reached an arm.

    Attributes:
        source: Topic and partition, `predictions/3`.
        offset: Its place there: what was counted is not counted again.
        route_epoch: Of the table by which it was routed.
        served_s: The whole second in which it was answered.
        outcome: `malformed`: NaN, or an output that cannot be read; `ignored`: the client went away.
        is_computed: By the version, just now; the latency of a cached answer is not the version's.
        classes: Answered classes and how often; empty for regressors and sealed payloads.
        unit: The sticky unit; empty: the request is its own.
        is_pinned: The caller chose the arm: no chance assigned it, so it proves nothing.
        input_score: Of the row furthest from the training data; None: not scored.
        has_abstained: Whether a row of it abstained; None where the version cannot.
        fault: Why it failed or is malformed, in words.
    """

    source: str
    offset: int
    version: str
    route_epoch: int
    rows: int
    served_s: int
    outcome: Outcome
    is_computed: bool = True
    classes: tuple[tuple[str, int], ...] = ()
    prediction_id: str = ""
    unit: str = ""
    is_pinned: bool = False
    latency_s: float = 0.0
    input_score: float | None = None
    has_abstained: bool | None = None
    fault: str = ""
