"""The lineage of a version: from what, how and why it was made, and how it was judged."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from services.retraining.domain.examples import Lineage
from services.retraining.domain.gate import Verdict
from services.retraining.domain.windows import Plan, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asked for a training, for which model, with what code."""

    request_id: str
    cause: str
    evidence: str
    actor: str
    model: str
    tenant: str
    spec_revision: int
    spec_digest: str
    recipe_digest: str
    seed: int
    code_version: str
    library_versions: Mapping[str, str]
    champion_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetSpan:
    """A stretch of one partition of `labels`."""

    partition: int
    first: int
    last: int


def manifest(
    origin: Origin,
    verdict: Verdict,
    *,
    plan: Plan,
    window: Window,
    trained_on: Lineage,
    judged_on: Lineage,
    offsets: Sequence[OffsetSpan],
    parity: Mapping[str, Any],
    training_s: float,
    input_profile: bytes = b"",
) -> dict[str, Any]:
    """The document stored as manifest.json."""
    return {
        "format": 1,
        "request": {
            "id": origin.request_id,
            "cause": origin.cause,
            "evidence": origin.evidence,
            "actor": origin.actor,
        },
        "model": origin.model,
        "tenant": origin.tenant,
        "spec": {"revision": origin.spec_revision, "digest": origin.spec_digest},
        "recipe": {"digest": origin.recipe_digest, "seed": origin.seed},
        "code": {"version": origin.code_version, "libraries": dict(origin.library_versions)},
        "data": {
            "training": asdict(trained_on),
            "holdout": asdict(judged_on),
            "label_offsets": [asdict(o) for o in offsets],
        },
        "window": {**asdict(window), "matured_rows": plan.rows, "holdout_start": plan.holdout_start},
        "gate": _gate(origin, verdict, plan),
        "parity": dict(parity),
        "training_s": training_s,
        "input_profile_sha256": sha256(input_profile).hexdigest() if input_profile else "",
    }


def _gate(origin: Origin, verdict: Verdict, plan: Plan) -> dict[str, Any]:
    return {
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "champion_version": origin.champion_version,
        "wins": verdict.wins,
        "losses": verdict.losses,
        "scores": [asdict(s) for s in verdict.scores],
        "skipped_windows": {s.name: s.reason for s in plan.skipped},
    }
