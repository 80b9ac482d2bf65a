from typing import Any

import numpy as np
import pytest

from services.rollout.domain.observation import Observation
from services.rollout.records import Answers, read_record
from slipway import spec, tensors
from slipway.errors import InvalidInput
from slipway.spec import Spec
from slipway.v1.predictions_pb2 import (
    PredictionContext,
    PredictionFailed,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)
from slipway.v1.tensors_pb2 import Payload, Tensor
from tests import kafka_source

CLASSIFIER = spec.parse(
    'name: m\ntask: binary\nfeatures: [{name: a}]\nlabel: {name: y, classes: ["0", "1"]}\n'
    "rollout: {max_latency_ms: 100}\n"
)
REGRESSOR = spec.parse("name: m\ntask: regression\nfeatures: [{name: a}]\nlabel: {name: y}\n")


def _seen(message: Any, model: Spec = CLASSIFIER) -> Observation:
    source = kafka_source.source_of("predictions", message, partition=2, offset=7)
    return Answers(model).observe(read_record(source))


def _served(*outputs: Tensor, latency_s: float = 0.01, rows: int = 2, **context: Any) -> PredictionServed:
    about = PredictionContext(version="3", route_epoch=5, rows=rows, latency_s=latency_s, **context)
    about.served_at.seconds = 1_700_000_000
    return PredictionServed(context=about, payload=Payload(outputs=outputs))


def _label(*texts: str) -> Tensor:
    return tensors.to_tensor("label", np.array([t.encode() for t in texts], dtype=object))


def _numbers(name: str, *values: float) -> Tensor:
    return tensors.to_tensor(name, np.array(values, dtype=np.float32))


def test_a_good_record_says_who_answered_what() -> None:
    seen = _seen(_served(_label("1", "1"), _numbers("probabilities", 0.1, 0.9)))
    assert (seen.source, seen.offset, seen.version, seen.route_epoch) == ("predictions/2", 7, "3", 5)
    assert (seen.outcome, seen.rows, seen.classes) == ("good", 2, (("1", 2),))
    assert seen.served_s == 1_700_000_000


def test_a_slow_answer_is_slow() -> None:
    assert _seen(_served(_label("1"), latency_s=0.2)).outcome == "slow"


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
    assert _seen(_served(output)).outcome == "malformed"


def test_a_regressor_has_no_classes() -> None:
    assert _seen(_served(_numbers("value", 1.5)), REGRESSOR).classes == ()
    assert _seen(_served(_numbers("value", float("nan"))), REGRESSOR).outcome == "malformed"


def test_a_record_whose_payload_is_sealed_still_counts() -> None:
    assert _seen(_served(rows=0)).outcome == "good"
    assert _seen(_served(rows=0)).rows == 1


@pytest.mark.parametrize(("code", "outcome"), [("INTERNAL", "failed"), ("CANCELLED", "ignored")])
def test_failures_count_unless_the_client_went_away(code: str, outcome: str) -> None:
    message = PredictionFailed(context=PredictionContext(version="3"), code=code)
    assert _seen(message).outcome == outcome


def test_an_answer_by_a_fallback_is_a_failure_of_the_version_that_was_meant() -> None:
    message = _served(_label("1", "1"), degraded="previous_version", intended_version="4")
    seen = _seen(message)
    assert (seen.version, seen.outcome, seen.classes, seen.rows) == ("4", "failed", (), 2)


def test_why_a_fallback_answered_is_the_fault_of_the_version_that_was_meant() -> None:
    why = "INTERNAL: the version answered NaN or infinity in 'probabilities'"
    seen = _seen(_served(_label("1"), degraded="previous_version", degraded_reason=why))
    assert seen.fault == f"{why}; previous_version answered in its place"
    assert _seen(_served(_label("1"), degraded="default")).fault.startswith("it gave no answer; default")


@pytest.mark.parametrize("where", ["local", "shared"])
def test_the_latency_of_an_answer_from_the_cache_is_not_the_versions(where: str) -> None:
    late = _seen(_served(_label("1", "1"), latency_s=0.2, cache=where))
    assert (late.outcome, late.is_computed, late.classes) == ("good", False, (("1", 2),))
    assert _seen(_served(_label("1", "1"))).is_computed


def test_the_latency_of_a_fallback_is_not_the_versions() -> None:
    assert _seen(_served(_label("1"), latency_s=0.2, degraded="cached_answer")).outcome == "failed"


def test_a_payload_that_is_none_is_nobodys_answer() -> None:
    good = kafka_source.source_of("predictions", _served())
    broken = PredictionServed(context=_served().context).SerializeToString() + b"\x12\x01\xff"
    record = read_record(kafka_source.record("predictions", broken, good.headers))
    with pytest.raises(InvalidInput, match="not a Payload"):
        Answers(CLASSIFIER).observe(record)


@pytest.mark.parametrize(
    "message", [PredictionWithheld(code="UNAVAILABLE"), PredictionsUnrecorded(answered=3)]
)
def test_what_went_wrong_with_records_is_nothing_the_version_did(message: Any) -> None:
    assert _seen(message).outcome == "ignored"


def test_a_record_says_whose_it_was_and_what_was_odd_about_its_inputs() -> None:
    message = _served(_label("1"), prediction_id="p", unit="ann", pinned=True, latency_s=0.03)
    message.input_scores.extend([0.5, 2.0])
    seen = _seen(message)
    assert (seen.prediction_id, seen.unit, seen.is_pinned, seen.input_score) == ("p", "ann", True, 2)
    assert seen.latency_s == pytest.approx(0.03)


@pytest.mark.parametrize("latency_s", [float("nan"), float("inf"), -1.0])
def test_a_latency_that_is_none_took_no_time(latency_s: float) -> None:
    assert _seen(_served(_label("1"), latency_s=latency_s)).latency_s == 0.0


@pytest.mark.parametrize(("rows", "has_abstained"), [((False, False), False), ((False, True), True)])
def test_a_request_abstains_with_any_of_its_rows(rows: tuple[bool, bool], has_abstained: bool) -> None:
    abstained = tensors.to_tensor("abstained", np.array(rows))
    assert _seen(_served(abstained, _label("1", "0"))).has_abstained is has_abstained
    assert _seen(_served(_label("1", "0"), abstained)).classes == (("0", 1), ("1", 1))
    assert _seen(_served(_label("1", "0"))).has_abstained is None


@pytest.mark.parametrize(("abstained", "expected"), [(b"\0\0", False), (b"\0\1", True)])
def test_a_request_abstains_where_the_gateway_says_so(abstained: bytes, expected: bool) -> None:
    message = _served(_label("1", "0"))
    message.abstained = abstained
    assert _seen(message).has_abstained is expected


def test_a_score_that_is_no_number_is_none() -> None:
    message = _served(_label("1"))
    message.input_scores.append(float("nan"))
    assert _seen(message).input_score is None
    assert _seen(_served(_label("1"))).input_score is None
