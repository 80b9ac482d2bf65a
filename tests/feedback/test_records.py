import numpy as np
import pytest
from aiokafka import ConsumerRecord

from services.feedback.records import Record, read_record
from slipway import tensors
from slipway.errors import InvalidInput
from slipway.v1.predictions_pb2 import PredictionContext, PredictionFailed, PredictionServed
from slipway.v1.tensors_pb2 import Payload, Tensor
from tests import kafka_source
from tests.feedback.bench import ANNA, served


def source(message: PredictionServed) -> ConsumerRecord:
    return kafka_source.source_of("predictions", message, partition=2, offset=9)


def read(message: PredictionServed) -> Record:
    record = read_record(source(message))
    assert record is not None
    return record


def inputs(payload: bytes) -> dict[str, list[object]]:
    return {t.name: tensors.from_tensor(t).tolist() for t in Payload.FromString(payload).inputs}


def test_each_row_keeps_its_own_inputs_and_answer() -> None:
    record = read(served("m", rows=3, at_s=12.5))
    assert (record.owner, len(record.rows), record.served_at_s) == (ANNA, 3, 12.5)
    assert [inputs(row.inputs)["features"] for row in record.rows] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert [row.predicted for row in record.rows] == ["1", "1", "1"]
    assert record.rows[0].probabilities == [0.25, 0.75]
    assert (record.partition, record.offset) == (2, 9)


def test_texts_and_numbers_of_a_regression() -> None:
    message = served("m", rows=2)
    city = np.array([[b"Bern"], [b"Z\xc3\xbcrich"]], dtype=object)
    value = np.array([0.1, 2.0], dtype=np.float32)
    message.payload.CopyFrom(
        Payload(inputs=[tensors.to_tensor("city", city)], outputs=[tensors.to_tensor("value", value)])
    )
    record = read(message)
    assert [inputs(row.inputs)["city"] for row in record.rows] == [[[b"Bern"]], [["Zürich".encode()]]]
    assert [row.predicted for row in record.rows] == ["0.1", "2.0"]
    assert [row.probabilities for row in record.rows] == [[], []]


def test_an_answer_of_another_name_is_kept_without_a_prediction() -> None:
    message = served("m")
    del message.payload.outputs[:]
    assert read(message).rows[0].predicted == ""


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([tensors.to_tensor("label", np.zeros((2, 2), dtype=np.float32))], "one value a row"),
        ([tensors.to_tensor("probabilities", np.array([b"a", b"b"], dtype=object))], "floating point"),
        ([tensors.to_tensor("label", np.zeros(3, dtype=np.float32))], "record of 2 rows"),
        ([Tensor(name="label", datatype="FP32", shape=[2], raw=b"short")], "needs 8"),
        ([Tensor(name="label", datatype="FP99", shape=[2])], "FP99"),
    ],
)
def test_refuses_outputs_that_do_not_fit(outputs: list[Tensor], words: str) -> None:
    message = served("m", rows=2)
    del message.payload.outputs[:]
    message.payload.outputs.extend(outputs)
    with pytest.raises(InvalidInput, match=words):
        read(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prediction_id", ""),
        ("prediction_id", "p" * 129),
        ("business_key", "a\0"),
        ("rows", 2),
        ("rows", 0),
        ("route_epoch", 2**63),
    ],
)
def test_refuses_a_context_that_cannot_be_stored(field: str, value: object) -> None:
    message = served("m")
    setattr(message.context, field, value)
    with pytest.raises(InvalidInput):
        read(message)


def test_refuses_a_time_outside_the_calendar() -> None:
    message = served("m")
    message.context.served_at.seconds = 2**40
    with pytest.raises(InvalidInput, match="served_at"):
        read(message)


def test_the_inputs_of_an_only_row_are_kept_as_they_came() -> None:
    record = read(served("m"))
    assert [inputs(row.inputs)["features"] for row in record.rows] == [[[0, 1]]]
    assert "label" not in str(Payload.FromString(record.rows[0].inputs))


def test_nothing_is_wanted_of_a_failure() -> None:
    failure = PredictionFailed(context=PredictionContext(prediction_id="p"), code="INTERNAL")
    assert read_record(kafka_source.source_of("predictions", failure)) is None


def test_refuses_a_payload_that_is_none() -> None:
    good = source(served("m"))
    broken = PredictionServed(context=served("m").context).SerializeToString() + b"\x12\x01\xff"
    with pytest.raises(InvalidInput, match="not a Payload"):
        read_record(kafka_source.record("predictions", broken, good.headers))
