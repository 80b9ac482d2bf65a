"""What the tables hold, as values."""

from dataclasses import dataclass
from typing import Any

from services.rollout.domain.log_entry import UNASKED, LogEntry, Permission, Version
from services.rollout.domain.state_machine import State, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRow:
    """One stored revision of a spec."""

    model: str
    revision: int
    tenant: str
    yaml: str
    recipe: str
    recipe_digest: str
    digest: str
    applied_by: str
    applied_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that is to be rolled out, and what is known of its quality."""

    model: str
    subject: Version
    actor: str
    reason: str
    quality: str
    rivals: tuple[Version, ...] = ()
    permission: Permission = UNASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """What is stored of a version's training data, serialized; empty where the version brought none."""

    reference: bytes = b""
    input: bytes = b""


def entry_of(row: Any) -> LogEntry:
    """A row of the log."""
    return LogEntry(
        model=row["model"],
        seq=row["seq"],
        rollout_id=row["rollout_id"],
        from_state=State(row["from_state"]),
        to_state=State(row["to_state"]),
        trigger=Trigger(row["trigger"]),
        subject=Version(version=row["version"], digest=row["digest"]),
        step=row["step"],
        weight_ppm=row["weight_ppm"],
        actor=row["actor"],
        reason=row["reason"],
        evidence=row["evidence"],
        epoch=row["epoch"],
        fence=row["fence"],
        at_s=row["at"].timestamp(),
        rivals=_rivals(row),
        spec_revision=row["spec_revision"],
        mirror_ppm=row["mirror_ppm"],
        max_mirrored_per_s=row["max_mirrored_per_s"],
        permission=_permission(row),
    )


def spec_of(row: Any) -> SpecRow:
    """A row of `model_specs`."""
    return SpecRow(
        model=row["model"],
        revision=row["revision"],
        tenant=row["tenant"],
        yaml=row["yaml"],
        recipe=row["recipe"],
        recipe_digest=row["recipe_digest"],
        digest=row["digest"],
        applied_by=row["applied_by"],
        applied_at_s=row["applied_at"].timestamp(),
    )


def candidate_of(row: Any) -> Candidate:
    """A row of `candidates`."""
    return Candidate(
        model=row["model"],
        subject=Version(version=row["version"], digest=row["digest"]),
        actor=row["actor"],
        reason=row["reason"],
        quality=row["quality"],
        rivals=_rivals(row),
        permission=_permission(row),
    )


def _permission(row: Any) -> Permission:
    return Permission(decision_id=row["decision_id"], policy_hash=row["policy_hash"])


def _rivals(row: Any) -> tuple[Version, ...]:
    pairs = zip(row["rival_versions"], row["rival_digests"], strict=True)
    return tuple(Version(version=version, digest=digest) for version, digest in pairs)
