"""A constructed report: a shadow step that proves quality, a canary that an owner signs, the bake."""

from typing import Any

import orjson

from slipway.v1.rollout_pb2 import EvidencePoint, Finding, RolloutEvent, RolloutReport

BEGAN_S = 1_700_000_000
YAML = """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
rollout:
  rules:
    - {name: right-answers, metric: accuracy, paired: true, margin: 0.02}
    - {name: errors, metric: error_rate}
  steps:
    - {kind: shadow, min_rows: 100}
    - {weight_percent: 10, min_rows: 100, approval: owner}
"""
JUDGED = "the gate has judged its quality: accuracy 0.910 on 400 rows, champion accuracy 0.900 on 400 rows"


def event(seq: int, from_state: str, to_state: str, **more: Any) -> RolloutEvent:
    given = {"step": -1, "actor": "rollout", "trigger": "step_passed", "reason": f"reason {seq}", **more}
    it = RolloutEvent(
        model="m",
        rollout_id="019ab-r1",
        seq=seq,
        from_state=from_state,
        to_state=to_state,
        version="7",
        **given,
    )
    it.at.FromSeconds(BEGAN_S + 600 * seq)
    return it


def finding(name: str, standing: str, **more: Any) -> Finding:
    given = {
        "samples": 120,
        "needed": 100,
        "log_e_harm": 0.3,
        "log_harm_limit": 3.7,
        "is_guardrail": True,
        "text": f"{name}: 120 of 100",
        **more,
    }
    return Finding(name=name, standing=standing, **given)


def point(minute: int, step: int, *findings: Finding) -> EvidencePoint:
    it = EvidencePoint(step=step, weight_ppm=0, findings=findings)
    it.at.FromSeconds(BEGAN_S + 60 * minute)
    return it


def promoted(*, quality: str = JUDGED) -> RolloutReport:
    """A whole rollout: minutes 10 to 60."""
    evidence = orjson.dumps({"quality": quality}).decode()
    proof = {"log_e_proof": 3.4, "log_proof_limit": 3.0}
    return RolloutReport(
        model="m",
        rollout_id="019ab-r1",
        version="7",
        champion_version="6",
        state="DONE",
        spec_revision=4,
        yaml=YAML,
        events=[
            event(1, "IDLE", "WARMING", trigger="start", actor="anna", reason="a | b", evidence=evidence),
            event(2, "WARMING", "SHADOW", trigger="ready_shadow", step=0),
            event(3, "SHADOW", "CANARY", step=1, weight_ppm=100_000),
            event(4, "CANARY", "CANARY", trigger="approve", actor="bob", step=1, weight_ppm=100_000),
            event(5, "CANARY", "BAKE", trigger="steps_passed", weight_ppm=1_000_000),
            event(6, "BAKE", "DONE", trigger="baked", weight_ppm=1_000_000),
        ],
        points=[
            point(22, 0, finding("right-answers", "gathering", log_e_proof=1.0, log_proof_limit=3.0)),
            point(29, 0, finding("right-answers", "proven", **proof)),
            point(45, 1, finding("errors", "clear"), finding("sample ratio", "clear", needed=0)),
        ],
    )


def taken_back() -> RolloutReport:
    """A canary whose rule saw harm; nobody has judged the version's quality."""
    return RolloutReport(
        model="m",
        rollout_id="019ab-r2",
        version="8",
        champion_version="7",
        state="ABORTED",
        spec_revision=5,
        yaml=YAML,
        events=[
            event(1, "DONE", "WARMING", trigger="start", actor="anna"),
            event(2, "WARMING", "CANARY", trigger="ready", step=1, weight_ppm=100_000),
            event(3, "CANARY", "ABORTED", trigger="guard_failed", reason="12 failures: e-value 41 of 40"),
        ],
        points=[point(25, 1, finding("errors", "harm", log_e_harm=3.8), finding("late", "gathering"))],
    )
