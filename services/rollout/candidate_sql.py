"""The SQL of candidates: what became of each version that was announced."""

from datetime import UTC, datetime

from services.rollout.rows import Candidate
from slipway.postgres import Connection


async def write_candidate(connection: Connection, candidate: Candidate, *, state: str, now_s: float) -> None:
    """Record what became of a candidate; a version that is announced again is recorded anew."""
    await connection.execute(
        "INSERT INTO candidates VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12) "
        "ON CONFLICT (model, version) DO UPDATE SET state = excluded.state, note = '', "
        "actor = excluded.actor, reason = excluded.reason, quality = excluded.quality, "
        "recorded_at = excluded.recorded_at, rival_versions = excluded.rival_versions, "
        "rival_digests = excluded.rival_digests, decision_id = excluded.decision_id, "
        "policy_hash = excluded.policy_hash",
        candidate.model,
        candidate.subject.version,
        candidate.subject.digest,
        state,
        candidate.actor,
        candidate.reason,
        candidate.quality,
        datetime.fromtimestamp(now_s, UTC),
        [rival.version for rival in candidate.rivals],
        [rival.digest for rival in candidate.rivals],
        candidate.permission.decision_id,
        candidate.permission.policy_hash,
    )


async def end_waiting(connection: Connection, model: str, *, state: str, note: str) -> None:
    """Let no candidate of the model wait any more."""
    await connection.execute(
        "UPDATE candidates SET state = $2, note = $3 WHERE model = $1 AND state = 'WAITING'",
        model,
        state,
        note,
    )
