from typing import Any

import numpy as np
import pytest

from services.rollout.records import observe_record
from slipway import spec, tensors
from slipway.envelope import Event
from slipway.v1.predictions_pb2 import (
    PredictionContext,
    PredictionFailed,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)
from slipway.v1.tensors_pb2 import Payload, Tensor

CLASSIFIER = spec.parse(
    'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
    "rollout: {max_latency_ms: 100}\n"
)
REGRESSOR = spec.parse("name: m\ntask: regression\nfeatures: [{name: a}]\nlabel: {name: y}\n")


def _event(message: Any) -> Event:
    return Event(topic="predictions", key="k", message=message, event_id="e", partition=2, offset=7)


def _served(*outputs: Tensor, latency_s: float = 0.01, rows: int = 2) -> Event:
    context = PredictionContext(version="3", route_epoch=5, rows=rows, latency_s=latency_s)
    context.served_at.seconds = 1_700_000_000
    return _event(PredictionServed(context=context, payload=Payload(outputs=outputs)))


def _label(*texts: str) -> Tensor:
    return tensors.to_tensor("label", np.array([t.encode() for t in texts], dtype=object))


def _numbers(name: str, *values: float) -> Tensor:
    return tensors.to_tensor(name, np.array(values, dtype=np.float32))


def test_a_good_record_says_who_answered_what() -> None:
    seen = observe_record(_served(_label("1", "1"), _numbers("probabilities", 0.1, 0.9)), CLASSIFIER)
    assert (seen.source, seen.offset, seen.version, seen.route_epoch) == ("predictions/2", 7, "3", 5)
    assert (seen.outcome, seen.rows, seen.classes) == ("good", 2, (("1", 2),))
    assert seen.served_s == 1_700_000_000


def test_a_slow_answer_is_slow() -> None:
    assert observe_record(_served(_label("1"), latency_s=0.2), CLASSIFIER).outcome == "slow"


@pytest.mark.parametrize(
    "output",
    [
        _numbers("probabilities", 0.1, float("nan")),
        _label("2"),
        Tensor(name="label", datatype="BYTES", shape=[1], raw=b"\xff\xff\xff\xff"),
    ],
    ids=["nan", "unknown class", "no tensor"],
)
def test_an_answer_that_means_nothing_is_malformed(output: Tensor) -> None:
    assert observe_record(_served(output), CLASSIFIER).outcome == "malformed"


def test_a_regressor_has_no_classes() -> None:
    assert observe_record(_served(_numbers("value", 1.5)), REGRESSOR).classes == ()
    assert observe_record(_served(_numbers("value", float("nan"))), REGRESSOR).outcome == "malformed"


def test_a_record_whose_payload_is_sealed_still_counts() -> None:
    assert observe_record(_served(rows=0), CLASSIFIER).outcome == "good"
    assert observe_record(_served(rows=0), CLASSIFIER).rows == 1


@pytest.mark.parametrize(("code", "outcome"), [("INTERNAL", "failed"), ("CANCELLED", "ignored")])
def test_failures_count_unless_the_client_went_away(code: str, outcome: str) -> None:
    message = PredictionFailed(context=PredictionContext(version="3"), code=code)
    assert observe_record(_event(message), CLASSIFIER).outcome == outcome


def test_an_answer_by_a_fallback_is_a_failure_of_the_version_that_was_meant() -> None:
    event = _served(_label("1", "1"))
    event.message.context.degraded = "previous_version"
    event.message.context.intended_version = "4"
    seen = observe_record(event, CLASSIFIER)
    assert (seen.version, seen.outcome, seen.classes, seen.rows) == ("4", "failed", (), 2)


@pytest.mark.parametrize(
    "message", [PredictionWithheld(code="UNAVAILABLE"), PredictionsUnrecorded(answered=3)]
)
def test_what_went_wrong_with_records_is_nothing_the_version_did(message: Any) -> None:
    assert observe_record(_event(message), CLASSIFIER).outcome == "ignored"
