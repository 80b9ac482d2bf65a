"""Everything that the services know about one model, gathered; what is away is named, not fatal."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipway import spec as model_spec
from slipway.cli.control_plane import ControlPlane
from slipway.errors import DeadlineExceeded, SlipwayError, Unavailable
from slipway.v1 import extraction_pb2, feedback_pb2, inference_pb2, retraining_pb2, rollout_pb2
from slipway.v1.extraction_pb2_grpc import QueryWatchStub
from slipway.v1.feedback_pb2_grpc import FeedbackQueriesStub
from slipway.v1.inference_pb2_grpc import InferenceDirectoryStub
from slipway.v1.retraining_pb2_grpc import RetrainingControlStub, RetrainTriggerQueriesStub

_PART_DEADLINE_S: Final = 5.0
_EVENTS: Final = 8
_EXPLANATIONS: Final = 5
_SUSPECTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model's status by part; a part that did not answer is an error in its place."""

    rollout: rollout_pb2.RolloutStatus
    replicas: dict[str, inference_pb2.VersionEndpoints | SlipwayError]
    parts: dict[str, Any]


async def read_status(plane: ControlPlane, model: str) -> ModelStatus:
    """Ask all services at once.

    Raises:
        SlipwayError: Rollout is away, or does not know the model.
    """
    rollout = await plane.status(model, events=_EVENTS)
    versions = [arm.version for arm in rollout.routes.arms]
    asked = {
        "feedback": plane.call(
            "feedback",
            FeedbackQueriesStub,
            lambda s, how: s.Summarize(feedback_pb2.SummarizeFeedbackRequest(model=model), **how),
            deadline_s=_PART_DEADLINE_S,
        ),
        "retraining": plane.call(
            "retraining",
            RetrainingControlStub,
            lambda s, how: s.GetTrainingStatus(retraining_pb2.TrainingStatusRequest(model=model), **how),
            deadline_s=_PART_DEADLINE_S,
        ),
        "retrain_trigger": plane.call(
            "retrain_trigger",
            RetrainTriggerQueriesStub,
            lambda s, how: s.Explain(retraining_pb2.ExplainRequest(model=model), **how),
            deadline_s=_PART_DEADLINE_S,
        ),
        "query_watch": _suspected(plane, model),
    }
    answers = await asyncio.gather(
        *map(_answer_or_error, asked.values()), *(_replicas(plane, model, version) for version in versions)
    )
    parts = dict(zip(asked, answers, strict=False))
    return ModelStatus(
        rollout=rollout, parts=parts, replicas=dict(zip(versions, answers[len(asked) :], strict=True))
    )


async def _suspected(plane: ControlPlane, model: str) -> extraction_pb2.ListSuspectsResponse:
    request = extraction_pb2.ListSuspectsRequest(model=model)
    return await plane.call(
        "query_watch",
        QueryWatchStub,
        lambda s, how: s.ListSuspects(request, **how),
        deadline_s=_PART_DEADLINE_S,
    )


async def _replicas(plane: ControlPlane, model: str, version: str) -> Any:
    request = inference_pb2.GetVersionRequest(model=model, version=version)
    return await _answer_or_error(
        plane.call(
            "inference",
            InferenceDirectoryStub,
            lambda s, how: s.GetVersion(request, **how),
            deadline_s=_PART_DEADLINE_S,
        )
    )


async def _answer_or_error(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except SlipwayError as error:
        return error


def to_plain(status: ModelStatus) -> dict[str, Any]:
    """The status for programs; without reference profiles and the texts of spec and recipe."""
    rollout = rollout_pb2.RolloutStatus()
    rollout.CopyFrom(status.rollout)
    for arm in rollout.routes.arms:
        arm.ClearField("profile")
    return {
        "rollout": _plain(rollout),
        "replicas": {version: _plain(answer) for version, answer in status.replicas.items()},
        **{name: _plain(answer) for name, answer in status.parts.items()},
    }


def _plain(answer: Message | SlipwayError) -> Any:
    if isinstance(answer, SlipwayError):
        return {"error": str(answer)}
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def render_status(status: ModelStatus) -> RenderableType:
    """The status for people."""
    rollout = status.rollout
    return Group(
        _headline(rollout),
        _arms(status),
        Text(f"rollout    {rollout.state}: {rollout.explanation}"),
        *_feedback(status.parts["feedback"]),
        *_training(status.parts["retraining"]),
        *_trigger(status.parts["retrain_trigger"]),
        *_suspects(status.parts["query_watch"]),
        _history(rollout),
    )


def _headline(rollout: rollout_pb2.RolloutStatus) -> Text:
    spec = model_spec.parse(rollout.spec.yaml)
    text = Text(spec.name, style="bold")
    text.append(
        f"  {spec.task}, {len(spec.features)} features, revision {rollout.spec.revision}"
        f"{', ' + spec.owner if spec.owner else ''}\n{spec.description}".rstrip(),
        style="not bold",
    )
    return text


def _arms(status: ModelStatus) -> Table:
    table = Table("version", "role", "share", "replicas", "digest", title_justify="left")
    for arm in status.rollout.routes.arms:
        table.add_row(
            arm.version,
            arm.role,
            f"{arm.weight_ppm / 10_000:g} %",
            _replica_text(status.replicas[arm.version]),
            arm.digest[:12],
        )
    table.caption = f"routes, epoch {status.rollout.routes.epoch}"
    return table


def _replica_text(answer: Any) -> str:
    if isinstance(answer, SlipwayError):
        return "inference does not answer"
    return f"{answer.state} ({len(answer.targets)})" + (f": {answer.message}" if answer.message else "")


def _feedback(answer: Any) -> list[Text]:
    if isinstance(answer, SlipwayError):
        return [_unknown("feedback", answer)]
    rows = ", ".join(f"{n} {state}" for state, n in sorted(answer.rows_by_state.items())) or "no rows yet"
    kept_apart = sum(answer.quarantined_by_reason.values())
    return [Text(f"feedback   {rows}; {kept_apart} kept apart, {answer.parked} early")]


def _training(answer: Any) -> list[Text]:
    if isinstance(answer, SlipwayError):
        return [_unknown("training", answer)]
    now = f"now {answer.stage}" if answer.is_training else f"{answer.open_requests} requests open"
    outcomes = f"{answer.blessed} blessed, {answer.rejected} rejected, {answer.insufficient} insufficient"
    text = f"training   {answer.examples} examples; {answer.trainings} trainings ({outcomes}); {now}"
    return [Text(f"{text}; last: {answer.last_outcome}" if answer.last_outcome else text)]


def _trigger(answer: Any) -> list[Text]:
    if isinstance(answer, SlipwayError):
        return [_unknown("trigger", answer)]
    lines = list(answer.lines[:_EXPLANATIONS]) or ["nothing decided yet"]
    return [Text(f"{'trigger' if at == 0 else '':<11}{line}") for at, line in enumerate(lines)]


def _suspects(answer: Any) -> list[Text]:
    if isinstance(answer, SlipwayError):
        return [_unknown("suspects", answer)]
    lines = [
        f"{alarm.principal}, by {alarm.signal}, {_time(alarm.suspected_at)}, alarm {alarm.alarm_id}"
        for alarm in answer.suspects[:_SUSPECTS]
    ]
    if len(answer.suspects) > _SUSPECTS:
        lines.append(f"and {len(answer.suspects) - _SUSPECTS} more; `slipway suspects list` shows all")
    lines = lines or ["nobody seems to copy the model"]
    return [Text(f"{'suspects' if at == 0 else '':<11}{line}") for at, line in enumerate(lines)]


def _unknown(part: str, error: SlipwayError) -> Text:
    # gRPC says of a part that is away what every attempt to connect said; people need one line.
    is_away = isinstance(error, Unavailable | DeadlineExceeded)
    why = "the service does not answer; `slipway status` shows what runs" if is_away else str(error)
    return Text(f"{part:<11}not known: {why}", style="yellow")


def _history(rollout: rollout_pb2.RolloutStatus) -> Table:
    table = Table("time", "version", "from", "to", "why", title="latest transitions", title_justify="left")
    for event in rollout.events:
        table.add_row(_time(event.at), event.version, event.from_state, event.to_state, Text(event.reason))
    return table


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%m-%d %H:%M:%S")
