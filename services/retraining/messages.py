"""Decisions as the events that other services read."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from services.retraining.domain.gate import Outcome, Verdict
from services.retraining.domain.scores import Score
from services.retraining.store.jobs import Decision
from slipway import topics
from slipway.envelope import encode
from slipway.v1 import retraining_pb2 as pb

SOURCE: Final = "retraining"
Event = pb.CandidateBlessed | pb.CandidateRejected | pb.CandidateInsufficient
EVENT_TYPES: Final[Mapping[str, type[Event]]] = {
    Outcome.BLESSED: pb.CandidateBlessed,
    Outcome.REJECTED: pb.CandidateRejected,
    Outcome.INSUFFICIENT: pb.CandidateInsufficient,
}


def blessed(
    request: pb.RetrainRequested, manifest: Mapping[str, Any], *, version: str, digest: str, now_s: float
) -> pb.CandidateBlessed:
    """A registered version's announcement, from its manifest alone: after a kill it can be made again."""
    gate = manifest["gate"]
    message = pb.CandidateBlessed(
        request_id=request.request_id,
        tenant=request.tenant,
        model=request.model,
        version=version,
        digest=digest,
        cause=request.cause,
        window=manifest["window"]["name"],
        scores=_scores(Score(**s) for s in gate["scores"]),
        reason=gate["reason"],
        training_rows=manifest["data"]["training"]["rows"],
        training_s=manifest["training_s"],
        champion_version=gate["champion_version"],
    )
    message.decided_at.FromDatetime(_utc(now_s))
    return message


def rejected(
    request: pb.RetrainRequested, verdict: Verdict, *, champion_version: str, training_s: float, now_s: float
) -> pb.CandidateRejected:
    """The gate said no."""
    message = pb.CandidateRejected(
        request_id=request.request_id,
        tenant=request.tenant,
        model=request.model,
        cause=request.cause,
        scores=_scores(verdict.scores),
        reason=verdict.reason,
        training_s=training_s,
        champion_version=champion_version,
    )
    message.decided_at.FromDatetime(_utc(now_s))
    return message


def insufficient(request: pb.RetrainRequested, reason: str, *, now_s: float) -> pb.CandidateInsufficient:
    """The gate could not judge."""
    message = pb.CandidateInsufficient(
        request_id=request.request_id,
        tenant=request.tenant,
        model=request.model,
        cause=request.cause,
        reason=reason,
    )
    message.decided_at.FromDatetime(_utc(now_s))
    return message


def decision(event: Event) -> Decision:
    """An event with all that is stored beside it; its id makes doubles recognisable."""
    outcome = next(str(name) for name, kind in EVENT_TYPES.items() if isinstance(event, kind))
    return Decision(
        request_id=event.request_id,
        state=outcome,
        reason=event.reason,
        outcome=event.SerializeToString(),
        event=encode(
            topics.CANDIDATES.name,
            event,
            key=event.model,
            event_id=f"{event.request_id}/{outcome.lower()}",
            source=SOURCE,
        ),
    )


def _scores(scores: Iterable[Score]) -> list[pb.GateScore]:
    return [
        pb.GateScore(contestant=s.contestant, accuracy=s.accuracy, log_loss=s.log_loss or 0.0, rows=s.rows)
        for s in scores
    ]


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
