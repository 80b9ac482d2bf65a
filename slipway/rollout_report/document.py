"""A rollout as plain values: what JSON for programs is made of."""

from collections.abc import Iterable
from math import exp
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from slipway.rollout_report.story import Story, evidence_of, tell
from slipway.v1.rollout_pb2 import EvidencePoint, Finding, RolloutEvent, RolloutReport

_LARGEST_EXPONENT: Final = 700.0  # of e; beyond it a float overflows


def document(report: RolloutReport) -> dict[str, Any]:
    """The whole report."""
    story = tell(report)
    return {
        "model": report.model,
        "rollout_id": report.rollout_id,
        "version": report.version,
        "rivals": list(report.rivals),
        "champion_version": report.champion_version,
        "state": report.state,
        "outcome": story.outcome,
        "started_by": story.started_by,
        "reason": story.reason,
        "cause": story.cause,
        "quality": story.quality,
        "proven": list(story.proven),
        "not_proven": list(story.not_proven),
        "spec_revision": report.spec_revision,
        "spec": report.yaml,
        "legs": _legs(story),
        "events": [plain_event(event) for event in report.events],
        "points": [_point(point) for point in report.points],
    }


def plain_event(event: RolloutEvent) -> dict[str, Any]:
    """One transition."""
    return {
        "seq": event.seq,
        "epoch": event.epoch,
        "at": time_text(event.at),
        "from_state": event.from_state,
        "to_state": event.to_state,
        "trigger": event.trigger,
        "version": event.version,
        "step": event.step,
        "weight_ppm": event.weight_ppm,
        "actor": event.actor,
        "reason": event.reason,
        "evidence": evidence_of(event),
    }


def plain_finding(finding: Finding) -> dict[str, Any]:
    """One line of the evidence table; e-values beside their logarithms."""
    return {
        "name": finding.name,
        "standing": finding.standing,
        "is_guardrail": finding.is_guardrail,
        "is_dry_run": finding.is_dry_run,
        "samples": finding.samples,
        "needed": finding.needed,
        "e_harm": _exp(finding.log_e_harm),
        "log_e_harm": finding.log_e_harm,
        "log_harm_limit": finding.log_harm_limit,
        "e_proof": _exp(finding.log_e_proof),
        "log_e_proof": finding.log_e_proof,
        "log_proof_limit": finding.log_proof_limit,
        "text": finding.text,
    }


def time_text(stamp: Timestamp) -> str:
    """A time in UTC, to the second."""
    return stamp.ToDatetime().isoformat(timespec="seconds") + "Z"


def _legs(story: Story) -> list[dict[str, Any]]:
    return [
        {
            "state": leg.state,
            "step": leg.step,
            "weight_ppm": leg.weight_ppm,
            "began_s": leg.began_s,
            "ended_s": leg.ended_s,
            "entered_because": leg.entered_because,
            "left_because": leg.left_because,
            "notes": list(leg.notes),
            "findings": _findings(leg.findings),
        }
        for leg in story.legs
    ]


def _findings(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [plain_finding(finding) for finding in findings]


def _point(point: EvidencePoint) -> dict[str, Any]:
    return {
        "at": time_text(point.at),
        "step": point.step,
        "weight_ppm": point.weight_ppm,
        "findings": _findings(point.findings),
    }


def _exp(log_e: float) -> float:
    return exp(min(log_e, _LARGEST_EXPONENT))
