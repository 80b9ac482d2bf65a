"""Where a model stands, for people and programs that ask."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.rollout.control import Control, Model
from services.rollout.domain.gates import closed_by
from services.rollout.domain.log_entry import LogEntry
from services.rollout.domain.look import explain, gates_of, look, windows_of
from services.rollout.domain.moment import Moment, clock_of
from services.rollout.domain.state_machine import State
from services.rollout.messages import to_event, to_finding, to_spec
from slipway.v1 import rollout_pb2


def status_of(
    control: Control, model: Model, newest: Sequence[tuple[LogEntry, str]]
) -> rollout_pb2.RolloutStatus:
    """The model's place, its routes and its newest events; the model must be locked."""
    position, at = model.position, control.moment()
    text = explain(position, model.tally, model.policy, at) if position.is_live else idle_text(model)
    return rollout_pb2.RolloutStatus(
        spec=to_spec(model.row),
        routes=control.routes(model),
        state=position.state if position.is_live else "IDLE",
        version=position.subject.version if position.subject else "",
        explanation=text + waiting_text(model),
        events=[
            to_event(entry, tenant=model.row.tenant, champion_version=champion) for entry, champion in newest
        ],
        promoted=position.promoted,
        rolled_back=position.rolled_back,
        rollouts=position.rollouts,
        step=step_of(model, at) if position.is_live else None,
    )


def step_of(model: Model, at: Moment) -> rollout_pb2.RolloutStep:
    """The present step of a live rollout: its clock, its gates, its evidence."""
    position, policy = model.position, model.policy
    gates, clock = gates_of(position, policy), clock_of(position, policy, at)
    message = rollout_pb2.RolloutStep(
        rollout_id=position.rollout_id,
        index=position.step,
        steps=len(policy.rollout.steps),
        kind=policy.kind_of(position.step),
        dwell_left_s=max(0.0, clock.dwell_left_s),
        deadline_left_s=max(0.0, clock.deadline_left_s),
        closed_by=closed_by(gates, windows_of(position, policy.rollout), now_s=at.now_s),
        approval_role=gates.approval_role,
        approved_by=gates.approved_by,
    )
    message.entered_at.FromDatetime(datetime.fromtimestamp(position.entered_at_s, UTC))
    if position.state is not State.WARMING:
        verdict = look(position, model.tally, policy, at).verdict
        message.outcome = verdict.outcome
        message.findings.extend(to_finding(finding) for finding in verdict.findings)
    return message


def idle_text(model: Model) -> str:
    """Where a model without a live rollout stands, in plain words."""
    position, last = model.position, model.last
    if last is None or position.champion is None:
        ended = f"; the last rollout ended as {position.state}: {last.reason}" if last else ""
        return f"no version serves yet: `slipway register` or `slipway train` brings one{ended}"
    standby = f"; version {position.standby.version} is warm for a rollback" if position.standby else ""
    return (
        f"version {position.champion.version} answers all requests{standby}; "
        f"the last rollout (version {last.subject.version}) ended as {position.state}: {last.reason}"
    )


def waiting_text(model: Model) -> str:
    """Who waits for the live rollout to end."""
    return f"; version {model.waiting.subject.version} waits" if model.waiting else ""
