"""What the log says, as the messages that other services read."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

from services.rollout.domain.finding import Finding
from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.position import Position
from services.rollout.domain.route_table import routes_of
from services.rollout.rows import Profiles, SpecRow
from services.rollout.unsaved import Point
from slipway import topics
from slipway.envelope import Outgoing, encode
from slipway.v1 import rollout_pb2
from slipway.v1.tensors_pb2 import ReferenceProfile

SOURCE: Final = "rollout"
UPSTREAM: Final = "inference"


def to_spec(row: SpecRow) -> rollout_pb2.ModelSpec:
    """A stored spec."""
    message = rollout_pb2.ModelSpec(
        name=row.model,
        tenant=row.tenant,
        revision=row.revision,
        yaml=row.yaml,
        recipe=row.recipe,
        recipe_digest=row.recipe_digest,
        digest=row.digest,
        applied_by=row.applied_by,
    )
    message.applied_at.FromDatetime(_utc(row.applied_at_s))
    return message


def to_routes(
    spec: SpecRow, position: Position, *, profiles: Mapping[str, Profiles], written_at_s: float
) -> rollout_pb2.RouteTable:
    """The route table of a position; its time is that of the entry, so that it can be made again."""
    routes = routes_of(position)
    message = rollout_pb2.RouteTable(
        model=spec.model, tenant=spec.tenant, epoch=routes.epoch, salt=routes.salt
    )
    message.written_at.FromDatetime(_utc(written_at_s))
    for arm in routes.arms:
        known = profiles.get(arm.version.version, Profiles())
        added = message.arms.add(
            version=arm.version.version,
            digest=arm.version.digest,
            upstream=UPSTREAM,
            role=arm.role,
            weight_ppm=arm.weight_ppm,
            mirror_ppm=arm.mirror_ppm,
            max_mirrored_per_s=arm.max_mirrored_per_s,
            profile=ReferenceProfile.FromString(known.reference),
        )
        if known.input:
            added.input_profile.MergeFromString(known.input)
    return message


def to_event(entry: LogEntry, *, tenant: str, champion_version: str) -> rollout_pb2.RolloutEvent:
    """One entry of the log."""
    message = rollout_pb2.RolloutEvent(
        model=entry.model,
        tenant=tenant,
        rollout_id=entry.rollout_id,
        seq=entry.seq,
        epoch=entry.epoch,
        from_state=entry.from_state,
        to_state=entry.to_state,
        trigger=entry.trigger,
        version=entry.subject.version,
        champion_version=champion_version,
        weight_ppm=entry.weight_ppm,
        actor=entry.actor,
        reason=entry.reason,
        step=entry.step,
        evidence=orjson.dumps(entry.evidence, option=orjson.OPT_SORT_KEYS).decode(),
        decision_id=entry.permission.decision_id,
        policy_hash=entry.permission.policy_hash,
    )
    message.at.FromDatetime(_utc(entry.at_s))
    return message


def to_finding(finding: Finding) -> rollout_pb2.Finding:
    """One line of the evidence table."""
    return rollout_pb2.Finding(
        name=finding.name,
        standing=finding.standing,
        is_guardrail=finding.is_guardrail,
        is_dry_run=finding.is_dry_run,
        samples=finding.samples,
        needed=finding.needed,
        log_e_harm=finding.log_e_harm,
        log_harm_limit=finding.log_harm_limit,
        log_e_proof=finding.log_e_proof,
        log_proof_limit=finding.log_proof_limit,
        text=finding.text,
    )


def to_point(point: Point) -> rollout_pb2.EvidencePoint:
    """The findings at one moment."""
    message = rollout_pb2.EvidencePoint(
        step=point.step,
        weight_ppm=point.weight_ppm,
        findings=[to_finding(finding) for finding in point.findings],
    )
    message.at.FromDatetime(_utc(point.at_s))
    return message


def outgoing_spec(message: rollout_pb2.ModelSpec) -> Outgoing:
    """A spec on its way to `model_specs`."""
    event_id = f"{message.name}/spec/{message.revision}"
    return encode(topics.MODEL_SPECS.name, message, key=message.name, event_id=event_id, source=SOURCE)


def outgoing_routes(message: rollout_pb2.RouteTable) -> Outgoing:
    """A route table on its way to `routes`."""
    event_id = f"{message.model}/routes/{message.epoch}"
    return encode(topics.ROUTES.name, message, key=message.model, event_id=event_id, source=SOURCE)


def outgoing_event(message: rollout_pb2.RolloutEvent) -> Outgoing:
    """A transition on its way to `rollout_events`."""
    event_id = f"{message.model}/rollout/{message.seq}"
    return encode(topics.ROLLOUT_EVENTS.name, message, key=message.model, event_id=event_id, source=SOURCE)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
