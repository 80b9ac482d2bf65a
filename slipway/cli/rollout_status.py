"""Where a rollout stands: plain words first, then each rule with its samples and its evidence."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipway.cli.control_plane import ControlPlane, champion_of
from slipway.errors import SlipwayError
from slipway.rollout_report.document import plain_event, plain_finding, time_text
from slipway.rollout_report.words import effect_of, evidence, samples, share, step_name, timing
from slipway.v1.notices_pb2 import FailedNotice, ListFailedNoticesRequest
from slipway.v1.notices_pb2_grpc import RolloutNoticesStub
from slipway.v1.rollout_pb2 import Finding, RolloutStatus, RolloutStep

_DEADLINE_S: Final = 5.0
_STYLES: Final = {"harm": "bold red", "gathering": "yellow", "clear": "green", "proven": "bold green"}
_SHOWN_EVENTS: Final = 5


async def read_failed_notices(plane: ControlPlane, model: str) -> Sequence[FailedNotice]:
    """Notices that did not arrive; none where nobody can say: it is a side matter of a status."""
    request = ListFailedNoticesRequest(model=model)
    try:
        answer = await plane.call(
            "rollout",
            RolloutNoticesStub,
            lambda stub, how: stub.ListFailedNotices(request, **how),
            deadline_s=_DEADLINE_S,
        )
    except SlipwayError:
        return ()
    return tuple(answer.notices)


def table_row(status: RolloutStatus) -> dict[str, str]:
    """One model in a list."""
    return {
        "model": status.spec.name,
        "rollout": _state_text(status),
        "version": status.version,
        "share": share(_weight_ppm(status)) if status.version else "",
        "champion": champion_of(status),
        "waits_for": status.step.closed_by,
    }


def plain_status(status: RolloutStatus, failed: Iterable[FailedNotice] = ()) -> dict[str, Any]:
    """The status for programs."""
    return {
        "model": status.spec.name,
        "state": status.state,
        "version": status.version,
        "champion": champion_of(status),
        "explanation": status.explanation,
        "epoch": status.routes.epoch,
        "arms": [
            {"version": arm.version, "role": arm.role, "weight_ppm": arm.weight_ppm}
            for arm in status.routes.arms
        ],
        "step": plain_step(status.step) if status.HasField("step") else None,
        "promoted": status.promoted,
        "rolled_back": status.rolled_back,
        "events": [plain_event(event) for event in status.events],
        "failed_notices": [_plain_notice(notice) for notice in failed],
    }


def plain_step(step: RolloutStep) -> dict[str, Any]:
    """The present step for programs."""
    return {
        "rollout_id": step.rollout_id,
        "index": step.index,
        "steps": step.steps,
        "kind": step.kind,
        "entered_at": time_text(step.entered_at),
        "dwell_left_s": step.dwell_left_s,
        "deadline_left_s": step.deadline_left_s,
        "closed_by": step.closed_by,
        "approval_role": step.approval_role,
        "approved_by": step.approved_by,
        "outcome": step.outcome,
        "findings": [plain_finding(finding) for finding in step.findings],
    }


def _plain_notice(notice: FailedNotice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "kind": notice.kind,
        "receiver": notice.receiver,
        "state": notice.state,
        "tries": notice.tries,
        "reason": notice.reason,
        "created_at": time_text(notice.created_at),
    }


def render(status: RolloutStatus, failed: Iterable[FailedNotice] = ()) -> RenderableType:
    """The status for people."""
    parts: list[RenderableType] = [_headline(status), _arms(status)]
    if status.HasField("step"):
        parts += _step(status.step)
    parts += [_history(status)] if status.events else []
    parts += [_notice_text(notice) for notice in failed]
    return Group(*parts)


def _headline(status: RolloutStatus) -> Text:
    text = Text(f"{status.spec.name}: {_state_text(status)}", style="bold")
    return text.append(f"\n{status.explanation}", style="not bold")


def _arms(status: RolloutStatus) -> Text:
    shown = [f"version {arm.version} {arm.role} {share(arm.weight_ppm)}" for arm in status.routes.arms]
    return Text(", ".join(shown) or "no version serves yet", style="dim")


def _step(step: RolloutStep) -> list[RenderableType]:
    lines = [", ".join(filter(None, (step_name(step), timing(step))))]
    if step.approved_by:
        lines.append(f"approved by {step.approved_by}")
    parts: list[RenderableType] = [Text(line) for line in lines]
    if step.closed_by:
        parts.append(Text(f"closed: {step.closed_by}", style="yellow"))
    return [*parts, _findings(step.findings)] if step.findings else parts


def _findings(findings: Iterable[Finding]) -> Table:
    table = Table("rule", "stands", "samples", "harm", "proof", "on harm")
    for finding in findings:
        table.add_row(
            Text(finding.name),
            Text(finding.standing, style=_STYLES.get(finding.standing, "")),
            samples(finding),
            evidence(finding.log_e_harm, finding.log_harm_limit),
            evidence(finding.log_e_proof, finding.log_proof_limit),
            effect_of(finding),
        )
    return table


def _history(status: RolloutStatus) -> Table:
    table = Table("time", "version", "to", "by", "why", title="latest transitions", title_justify="left")
    for event in status.events[:_SHOWN_EVENTS]:
        time = event.at.ToDatetime().strftime("%m-%d %H:%M:%S")
        table.add_row(time, event.version, event.to_state, Text(event.actor), Text(event.reason))
    return table


def _notice_text(notice: FailedNotice) -> Text:
    what = "was given up" if notice.state == "GIVEN_UP" else "is tried again"
    said = f"notice {notice.id} ({notice.kind}) to {notice.receiver} {what} after {notice.tries} tries: "
    return Text(said + notice.reason, style="yellow")


def _state_text(status: RolloutStatus) -> str:
    return f"{status.state} of version {status.version}" if status.version else status.state


def _weight_ppm(status: RolloutStatus) -> int:
    return next((arm.weight_ppm for arm in status.routes.arms if arm.version == status.version), 0)
