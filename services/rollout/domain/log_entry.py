"""One line of the append-only log from which everything else follows."""

from dataclasses import dataclass, field
from typing import Any, Final

from services.rollout.domain.state_machine import State, Trigger

WHOLE_PPM: Final = 1_000_000  # all requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version and the SHA-256 of its ONNX."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What the policies said to whoever commanded a transition; empty where nobody did."""

    decision_id: str = ""
    policy_hash: str = ""


UNASKED: Final = Permission()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One transition: what happened, why, by whom, and what it did to the routes.

    Attributes:
        seq: Per model, from 1, without gaps.
        epoch: Of the route table that results; grows with every entry.
        fence: Fencing number of the writer's lease.
        subject: The version that is rolled out.
        rivals: Further versions that an A/B step compares with it.
        spec_revision: Of the spec whose policy the rollout follows to its end; 0: not known.
        step: Index of the step; -1 outside of the steps.
        weight_ppm: The subject's share of the units after this entry, in parts per million; in an A/B step
            each rival has the same.
        mirror_ppm: Share of the requests that are copied to the subject in a shadow step.
        max_mirrored_per_s: Copies a second and gateway at most.
        permission: Of who commanded it, or announced the candidate that it starts.
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
    rivals: tuple[Version, ...] = ()
    spec_revision: int = 0
    mirror_ppm: int = 0
    max_mirrored_per_s: float = 0.0
    permission: Permission = UNASKED
