"""The events of the topic `labels`, from a row and what was decided about it."""

from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.feedback.domain.join import Effect
from services.feedback.domain.ledger import Applied
from slipway import envelope
from slipway.envelope import Outgoing
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted
from slipway.v1.tensors_pb2 import Payload


def label_event(
    applied: Applied,
    context: Any,
    *,
    classes: tuple[str, ...],
    source: str,
    observed_at_s: float,
    now_s: float,
) -> Outgoing:
    """The event that a published effect becomes.

    Args:
        applied: The effect and the row after it.
        context: Columns of the row and its prediction, by name.
        classes: In the order of the probabilities.
        source: Who said it.
        observed_at_s: When the source saw it.
        now_s: When it was joined.
    """
    message = (
        _retracted(applied, context, source=source, now_s=now_s)
        if applied.effect is Effect.WITHDRAWN
        else _matched(applied, context, classes=classes, observed_at_s=observed_at_s, now_s=now_s)
    )
    prediction_id, row = applied.key
    # The id is the same however often the event is made, so that readers can drop the second one.
    event_id = f"{prediction_id}/{row}/{applied.row.revision}"
    return envelope.encode("labels", message, key=prediction_id, event_id=event_id, source="feedback")


def _retracted(applied: Applied, context: Any, *, source: str, now_s: float) -> LabelRetracted:
    prediction_id, row = applied.key
    return LabelRetracted(
        prediction_id=prediction_id,
        row=row,
        revision=applied.row.revision,
        tenant=context["tenant"],
        model=context["model"],
        version=context["version"],
        source=source,
        retracted_at=stamp(now_s),
    )


def _matched(
    applied: Applied, context: Any, *, classes: tuple[str, ...], observed_at_s: float, now_s: float
) -> LabelMatched:
    prediction_id, row = applied.key
    return LabelMatched(
        prediction_id=prediction_id,
        row=row,
        revision=applied.row.revision,
        tenant=context["tenant"],
        principal=context["principal"],
        source=applied.row.source,
        model=context["model"],
        version=context["version"],
        digest=context["digest"],
        arm=context["arm"],
        route_epoch=context["route_epoch"],
        label=applied.row.label,
        predicted=context["predicted"],
        probabilities=context["probabilities"],
        classes=classes,
        inputs=Payload.FromString(context["inputs"]).inputs,
        served_at=stamp_of(context["served_at"]),
        observed_at=stamp(observed_at_s),
        matched_at=stamp(now_s),
        unit=context["unit"],
        pinned=context["pinned"],
    )


def stamp(seconds: float) -> Timestamp:
    """A Timestamp of seconds since 1970, to the microsecond."""
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)
    return Timestamp(seconds=whole, nanos=micros * 1000)


def stamp_of(moment: datetime) -> Timestamp:
    """A Timestamp of a point in time."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
