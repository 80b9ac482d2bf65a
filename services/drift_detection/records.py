"""From records and labels to what is counted of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.drift_detection.domain.accumulation import Observation
from services.drift_detection.domain.sketch import Counts, FeatureSketch, Sketch
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.stats.profile import OUTSIDE, count_codes
from slipway.tensors import from_tensor
from slipway.v1.feedback_pb2 import LabelMatched
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.tensors_pb2 import Tensor

_LABEL = "label"
# Answers in place of a version's: a repeated one says nothing new, a fixed one nothing at all.
_NO_ARM = frozenset({"cached_answer", "default"})


def model_of(event: Event) -> str:
    """The model that an event of `predictions` or `labels` is about.

    Raises:
        InvalidInput: It names none.
    """
    message = event.message
    model = message.context.model if hasattr(message, "context") else message.model
    if not model:
        raise InvalidInput(f"{event.topic}: {message.DESCRIPTOR.full_name} names no model")
    return str(model)


def observation_of(event: Event, classes: Sequence[str]) -> Observation | None:
    """What is counted of an event; None where it says nothing about drift.

    Corrections and retractions say nothing new about the model's error: the first label counts.

    Args:
        event: An event of `predictions` or `labels`.
        classes: The model's classes in order; empty for regression.
    Raises:
        InvalidInput: A version is missing, or a tensor cannot be read.
    """
    message = event.message
    if isinstance(message, PredictionServed | LabelMatched) and _arm(message) in _NO_ARM:
        return None
    if isinstance(message, PredictionServed):
        return _observation(event, message.context.version, _served(message, classes))
    if isinstance(message, LabelMatched) and message.revision <= 1:
        return _observation(event, message.version, _labelled(message, classes))
    return None


def _arm(message: PredictionServed | LabelMatched) -> str:
    return str(message.context.arm if isinstance(message, PredictionServed) else message.arm)


def _observation(event: Event, version: str, sketch: Sketch) -> Observation:
    if not version or "/" in version:
        raise InvalidInput(f"{event.topic}: {version!r} is not a version")
    return Observation(offset=event.offset, version=version, sketch=sketch)


def _served(message: PredictionServed, classes: Sequence[str]) -> Sketch:
    at_s = message.context.served_at.ToNanoseconds() / 1e9
    return Sketch(
        rows=max(1, message.context.rows),
        features={bins.feature: _feature(bins.codes) for bins in message.feature_bins},
        predicted=_answers(message.payload.outputs, classes),
        scored=len(message.input_scores),
        unusual=sum([score > 1 for score in message.input_scores]),
        first_at_s=at_s,
        last_at_s=at_s,
    )


def _feature(codes: bytes) -> FeatureSketch:
    if len(codes) == 1:  # most requests have one row
        return _SINGLE[codes[0]]
    return _count(codes)


def _count(codes: bytes) -> FeatureSketch:
    counts, outside, missing = count_codes(np.frombuffer(codes, dtype=np.uint8), bins=OUTSIDE)
    filled = np.flatnonzero(counts)
    seen = counts[: filled[-1] + 1].tolist() if filled.size else []
    return FeatureSketch(counts=tuple(seen), outside=outside, missing=missing)


_SINGLE: Final = tuple(_count(bytes([code])) for code in range(256))


def _answers(outputs: Sequence[Tensor], classes: Sequence[str]) -> Counts:
    """Answers by class; a sealed payload has no outputs, and then there is nothing to count."""
    tensors = [tensor for tensor in outputs if tensor.name == _LABEL]
    if not classes or not tensors:
        return ()
    texts = [
        t.decode("utf-8", "replace") for t in from_tensor(tensors[0]).reshape(-1) if isinstance(t, bytes)
    ]
    return tuple(texts.count(name) for name in classes)


def _labelled(message: LabelMatched, classes: Sequence[str]) -> Sketch:
    at_s = message.served_at.ToNanoseconds() / 1e9
    is_wrong = bool(classes) and message.label != message.predicted
    return Sketch(
        labels=1,
        errors=int(is_wrong),
        label_counts=tuple(int(name == message.label) for name in classes),
        first_at_s=at_s,
        last_at_s=at_s,
    )
