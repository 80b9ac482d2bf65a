"""Prediction records to what the rollout counts in them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from services.rollout.domain.observation import Observation, Outcome
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.spec import Spec
from slipway.tensors import from_tensor
from slipway.v1.predictions_pb2 import PredictionServed, PredictionsUnrecorded, PredictionWithheld
from slipway.v1.tensors_pb2 import Tensor

_LABEL: Final = "label"
# The client went away: nothing the version did.
_IGNORED_CODES: Final = frozenset({"CANCELLED"})


def observe_record(event: Event, spec: Spec) -> Observation:
    """What one record of `predictions` says."""
    context = event.message.context
    outcome, classes = _judge(event.message, spec)
    return Observation(
        source=f"{event.topic}/{event.partition}",
        offset=event.offset,
        version=context.intended_version or context.version,
        route_epoch=context.route_epoch,
        rows=max(1, context.rows),
        served_s=context.served_at.seconds,
        outcome=outcome,
        classes=classes,
    )


def _judge(message: Any, spec: Spec) -> tuple[Outcome, tuple[tuple[str, int], ...]]:
    if isinstance(message, PredictionWithheld | PredictionsUnrecorded):
        return "ignored", ()  # about records; the version did its work
    if not isinstance(message, PredictionServed):
        return ("ignored" if message.code in _IGNORED_CODES else "failed"), ()
    if message.context.degraded:
        return "failed", ()  # something else answered, because the version that was meant could not
    try:
        counts = _read_outputs(message.payload.outputs, spec)
    except InvalidInput:
        return "malformed", ()
    is_slow = message.context.latency_s * 1000 > spec.rollout.max_latency_ms
    return ("slow" if is_slow else "good"), tuple(sorted(counts.items()))


def _read_outputs(outputs: Iterable[Tensor], spec: Spec) -> Counter[str]:
    """Answered classes and how often.

    Raises:
        InvalidInput: NaN, a class that the spec does not list, or bytes that are no tensor.
    """
    counts: Counter[str] = Counter()
    for tensor in outputs:
        values = from_tensor(tensor).reshape(-1)
        if tensor.name == _LABEL and spec.is_classifier:
            counts.update(v.decode("utf-8", "replace") for v in values.tolist())
        elif values.dtype.kind == "f" and bool(np.isnan(values).any()):
            raise InvalidInput(f"output {tensor.name} has NaN")
    if unknown := set(counts) - set(spec.label.classes):
        raise InvalidInput(f"the answer {unknown.pop()!r} is not one of the spec's classes")
    return counts
