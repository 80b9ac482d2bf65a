from typing import Any

import numpy as np
import pytest

from services.rollout.domain.shadow import ShadowSeen
from services.rollout.shadow_records import ShadowAnswers, read_shadow
from slipway import spec, tensors
from slipway.v1.predictions_pb2 import PredictionContext, PredictionShadowed
from slipway.v1.tensors_pb2 import Payload, Tensor
from tests import kafka_source

SPEC = spec.parse(
    'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
    "rollout: {max_latency_ms: 100}\n"
)


def _seen(*outputs: Tensor, **fields: Any) -> ShadowSeen:
    context = PredictionContext(prediction_id="p", model="m", version="1", route_epoch=5, rows=2, unit="ann")
    message = PredictionShadowed(
        context=context,
        **{"version": "2", "latency_s": 0.02, "payload": Payload(outputs=outputs), **fields},
    )
    record = read_shadow(kafka_source.source_of("shadow_predictions", message, partition=3, offset=9))
    assert record.model == "m"
    return ShadowAnswers(SPEC).observe(record)


def _label(*texts: str) -> Tensor:
    return tensors.to_tensor("label", np.array([t.encode() for t in texts], dtype=object))


def test_a_copy_says_what_the_shadow_answered_and_where_both_agreed() -> None:
    seen = _seen(_label("1", "0"), served=["1", "1"])
    assert (seen.source, seen.offset, seen.version, seen.route_epoch) == ("shadow_predictions/3", 9, "2", 5)
    assert (seen.outcome, seen.answers, seen.compared, seen.agreed) == ("good", ("1", "0"), 2, 1)
    assert (seen.rows, seen.unit, seen.prediction_id, seen.is_pinned) == (2, "ann", "p", False)


def test_without_the_given_answers_nothing_is_compared() -> None:
    seen = _seen(_label("1", "0"), served=["1"])
    assert (seen.answers, seen.compared, seen.agreed) == (("1", "0"), 0, 0)


@pytest.mark.parametrize(
    ("seen", "outcome", "reason"),
    [
        (_seen(code="INTERNAL", message="out of memory"), "failed", "INTERNAL: out of memory"),
        (_seen(_label("7", "0")), "malformed", "'7' is not one of"),
        (
            _seen(tensors.to_tensor("probabilities", np.array([np.nan], dtype=np.float32))),
            "malformed",
            "has NaN",
        ),
        (_seen(_label("1", "0"), latency_s=0.2), "slow", ""),
    ],
)
def test_what_went_wrong_in_the_shadow_is_named(seen: ShadowSeen, outcome: str, reason: str) -> None:
    assert (seen.outcome, reason in seen.reason) == (outcome, True)
