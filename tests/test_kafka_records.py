import json

import pytest

from slipway.envelope import JSON
from slipway.errors import InvalidInput
from slipway.kafka_records import Narrow
from slipway.v1 import prediction_views_pb2, predictions_pb2, tensors_pb2
from slipway.v1.prediction_views_pb2 import AnswerView, PayloadView, ServedView
from slipway.v1.predictions_pb2 import PredictionContext, PredictionFailed, PredictionServed
from slipway.v1.tensors_pb2 import FeatureBins, Payload, Tensor
from tests.kafka_source import record, source_of

SERVED = PredictionServed(
    context=PredictionContext(prediction_id="p", model="m"),
    payload=Payload(
        inputs=[Tensor(name="features", datatype="FP32", shape=[1, 1], raw=b"1234")],
        outputs=[Tensor(name="label", datatype="BYTES", shape=[1], raw=b"\1\0\0\0a")],
    ),
    feature_bins=[FeatureBins(feature="f", codes=b"\7")],
    flags=["out_of_range:f"],
)
NARROW = Narrow({PredictionServed: ServedView})


def test_what_is_needed_is_read_and_the_rest_is_left() -> None:
    view = NARROW.read(source_of("predictions", SERVED))
    assert view.context == SERVED.context
    assert Payload.FromString(view.payload) == SERVED.payload


def test_a_payloads_inputs_are_its_bytes_and_its_outputs_are_tensors() -> None:
    data = SERVED.payload.SerializeToString()
    view = PayloadView.FromString(data)
    assert [Tensor.FromString(raw) for raw in view.inputs] == list(SERVED.payload.inputs)
    assert list(view.outputs) == list(SERVED.payload.outputs)
    assert (
        PayloadView(inputs=view.inputs).SerializeToString()
        == Payload(inputs=SERVED.payload.inputs).SerializeToString()
    )
    assert list(AnswerView.FromString(data).outputs) == list(SERVED.payload.outputs)


@pytest.mark.parametrize(
    ("view", "whole"),
    [
        ("ServedView", predictions_pb2.PredictionServed),
        ("PayloadView", tensors_pb2.Payload),
        ("AnswerView", tensors_pb2.Payload),
    ],
)
def test_a_view_has_the_names_and_numbers_of_the_whole(view: str, whole: type) -> None:
    fields = prediction_views_pb2.DESCRIPTOR.message_types_by_name[view].fields
    known = {(f.name, f.number, f.is_repeated) for f in whole.DESCRIPTOR.fields}  # type: ignore[attr-defined]
    assert {(f.name, f.number, f.is_repeated) for f in fields} <= known


def test_nothing_is_wanted_of_the_topics_other_types() -> None:
    assert NARROW.read(source_of("predictions", PredictionFailed(code="INTERNAL"))) is None


def test_json_is_read_too() -> None:
    value = json.dumps({"context": {"predictionId": "p"}, "payload": {"inputs": [{"name": "a"}]}}).encode()
    headers = (("ce_type", b"slipway.v1.PredictionServed"), ("content-type", JSON.encode()))
    view = NARROW.read(record("predictions", value, headers))
    assert view.context.prediction_id == "p"
    assert Payload.FromString(view.payload).inputs[0].name == "a"


@pytest.mark.parametrize("value", [None, b"\xff\xff"])
def test_refuses_what_is_no_message(value: bytes | None) -> None:
    with pytest.raises(InvalidInput, match="predictions"):
        NARROW.read(record("predictions", value, source_of("predictions", SERVED).headers))


def test_refuses_a_type_that_the_topic_does_not_carry() -> None:
    headers = (("ce_type", b"slipway.v1.Unheard"), ("content-type", b"application/protobuf"))
    with pytest.raises(InvalidInput, match="Unheard"):
        NARROW.read(record("predictions", b"", headers))
