import numpy as np
import pytest

from services.drift_detection.records import model_of, observation_of
from slipway import tensors
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted, OutcomeMatched
from slipway.v1.predictions_pb2 import PredictionContext, PredictionFailed, PredictionServed
from slipway.v1.tensors_pb2 import FeatureBins, Payload, Tensor

CLASSES = ("0", "1")


def event(message: object, topic: str = "predictions") -> Event:
    return Event(topic=topic, key="k", message=message, event_id="e", partition=1, offset=5)


def served(**more: object) -> PredictionServed:
    answers = tensors.to_tensor("label", np.array([b"1", b"1", b"0"], dtype=object))
    values: dict[str, object] = {
        "context": PredictionContext(model="m", version="3", rows=3),
        "payload": Payload(
            outputs=[tensors.to_tensor("probabilities", np.zeros((3, 2), np.float32)), answers]
        ),
        "feature_bins": [
            FeatureBins(feature="a", codes=bytes([0, 2, 254])),
            FeatureBins(feature="b", codes=b"\xff" * 3),
        ],
    }
    return PredictionServed(**{**values, **more})  # type: ignore[arg-type]


def test_a_record_is_counted_by_bin_and_by_answer() -> None:
    observation = observation_of(event(served()), CLASSES)
    assert observation is not None
    assert (observation.offset, observation.version, observation.sketch.rows) == (5, "3", 3)
    a, b = observation.sketch.features["a"], observation.sketch.features["b"]
    assert (a.counts, a.outside, a.missing) == ((1, 0, 1), 1, 0)
    assert (b.counts, b.outside, b.missing) == ((), 0, 3)
    assert observation.sketch.predicted == (1, 2)


def test_a_sealed_payload_and_a_regression_have_no_answers_to_count() -> None:
    for message, classes in ((served(payload=Payload()), CLASSES), (served(), ())):
        observation = observation_of(event(message), classes)
        assert observation is not None
        assert observation.sketch.predicted == ()
        assert observation.sketch.features.keys() == {"a", "b"}


def test_scored_rows_and_the_unusual_ones_are_counted() -> None:
    observation = observation_of(event(served(input_scores=[0.5, 1.0, 1.5])), CLASSES)
    assert observation is not None
    assert (observation.sketch.scored, observation.sketch.unusual) == (3, 1)


def test_outcomes_are_not_counted() -> None:
    outcome = event(OutcomeMatched(model="m", version="3", accepted=False), "labels")
    assert model_of(outcome) == "m"
    assert observation_of(outcome, CLASSES) is None


def test_failures_corrections_and_retractions_are_not_counted() -> None:
    failed = PredictionFailed(context=PredictionContext(model="m", version="3"))
    correction = LabelMatched(model="m", version="3", revision=2)
    assert [observation_of(event(m), CLASSES) for m in (failed, correction, LabelRetracted(model="m"))] == [
        None
    ] * 3


@pytest.mark.parametrize("arm", ["cached_answer", "default"])
def test_answers_that_no_version_gave_just_now_are_not_counted(arm: str) -> None:
    record = served(context=PredictionContext(model="m", version="", arm=arm, rows=3, degraded=arm))
    label = LabelMatched(model="m", version="", arm=arm, revision=1, label="1", predicted="0")
    assert observation_of(event(record), CLASSES) is None
    assert observation_of(event(label, "labels"), CLASSES) is None


def test_a_previous_version_that_answers_in_place_of_another_is_counted_as_itself() -> None:
    context = PredictionContext(
        model="m", version="2", arm="standby", rows=3, degraded="previous_version", intended_version="3"
    )
    observation = observation_of(event(served(context=context)), CLASSES)
    assert observation is not None
    assert observation.version == "2"


@pytest.mark.parametrize(("label", "predicted", "errors"), [("1", "1", 0), ("1", "0", 1)])
def test_a_label_is_right_or_wrong(label: str, predicted: str, errors: int) -> None:
    message = LabelMatched(model="m", version="3", revision=1, label=label, predicted=predicted)
    observation = observation_of(event(message, "labels"), CLASSES)
    assert observation is not None
    assert (observation.sketch.labels, observation.sketch.errors) == (1, errors)
    assert observation.sketch.label_counts == (0, 1)


@pytest.mark.parametrize("version", ["", "a/b"])
def test_a_record_without_a_version_is_poison(version: str) -> None:
    with pytest.raises(InvalidInput, match="is not a version"):
        observation_of(event(served(context=PredictionContext(model="m", version=version))), CLASSES)


def test_a_record_whose_tensor_is_broken_is_poison() -> None:
    payload = Payload(outputs=[Tensor(name="label", datatype="BYTES", shape=[3], raw=b"\x01")])
    with pytest.raises(InvalidInput, match="label"):
        observation_of(event(served(payload=payload)), CLASSES)


def test_every_event_names_its_model() -> None:
    assert model_of(event(served())) == "m"
    assert model_of(event(LabelMatched(model="n"), "labels")) == "n"
    with pytest.raises(InvalidInput, match="names no model"):
        model_of(event(LabelMatched(), "labels"))
