"""One line of the append-only log from which everything else follows."""

from dataclasses import dataclass, field
from typing import Any

from services.rollout.domain.state_machine import State, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version and the SHA-256 of its ONNX."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One transition: what happened, why, by whom, and what it did to the routes.

    Attributes:
        seq: Per model, from 1, without gaps.
        epoch: Of the route table that results; grows with every entry.
        fence: Fencing number of the writer's lease.
        subject: The version that is rolled out.
        step: Index of the canary step; -1 outside of CANARY.
        weight_ppm: The subject's share of the units after this entry, in parts per million.
    """

    model: str
    seq: int
    rollout_id: str
    from_state: State
    to_state: State
    trigger: Trigger
    subject: Version
    step: int
    weight_ppm: int
    actor: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    epoch: int
    fence: int
    at_s: float
