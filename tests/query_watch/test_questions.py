import numpy as np
import pytest

from services.query_watch.domain.scales import scales_of
from services.query_watch.domain.watching import FLOORS, Others, Question, Watch, observe
from services.query_watch.models import Watched
from services.query_watch.questions import questions_of
from services.query_watch.state_form import from_bytes, to_bytes
from slipway.errors import InvalidInput
from slipway.stats.profile import FeatureProfile, numeric_profile
from slipway.tensors import to_tensor
from slipway.v1.predictions_pb2 import PredictionServed

NUMERIC = tuple(numeric_profile(name, np.arange(100.0)) for name in "ab")
KIND = FeatureProfile(feature="kind", categories=("x", "y"), counts=(5, 5))
PLAIN = Watched(
    numeric=("a", "b"), categorical=(), classes=("0", "1"), scales=scales_of(NUMERIC), scales_of="1"
)
MIXED = Watched(
    numeric=("a", "b"),
    categorical=("kind",),
    classes=("0", "1"),
    scales=scales_of(NUMERIC, [KIND]),
    scales_of="1",
)


def record(rows: int, *outputs: tuple[str, np.ndarray]) -> PredictionServed:
    message = PredictionServed()
    message.payload.inputs.append(to_tensor("features", np.arange(2.0 * rows, dtype="f4").reshape(rows, 2)))
    message.payload.outputs.extend(to_tensor(name, array) for name, array in outputs)
    return message


def test_a_row_comes_with_its_answer_margin_and_score() -> None:
    message = record(2, ("probabilities", np.array([[0.9, 0.1], [0.3, 0.7]], dtype="f4")))
    message.input_scores.extend([0.5, 2.0])
    first, second = questions_of(message, PLAIN, most=32)
    assert (first.answer, second.answer) == (0, 1)
    assert [first.margin, second.margin] == pytest.approx([0.8, 0.4])
    assert (first.input_score, second.input_score) == (0.5, 2.0)


def test_a_large_request_is_thinned_evenly() -> None:
    found = questions_of(record(1000), PLAIN, most=5)
    assert len(found) == 5
    assert np.allclose(np.diff([q.point[0] for q in found]), found[1].point[0] - found[0].point[0], rtol=0.02)


def test_labels_and_values_tell_answers_apart_where_there_are_no_probabilities() -> None:
    labelled = record(3, ("label", np.array([b"1", b"0", b"?"], dtype=object)))
    assert [(q.answer, q.margin) for q in questions_of(labelled, PLAIN, most=9)] == [
        (1, None),
        (0, None),
        (2, None),
    ]
    valued = record(2, ("value", np.array([0.0, 1e9], dtype="f4")))
    assert [q.answer for q in questions_of(valued, PLAIN, most=9)] == [0, 8]


def test_features_of_their_own_tensors_are_put_together() -> None:
    message = PredictionServed()
    for name, value in (("a", np.array([[1.0]], dtype="f4")), ("b", np.array([[2.0]], dtype="f4"))):
        message.payload.inputs.append(to_tensor(name, value))
    message.payload.inputs.append(to_tensor("kind", np.array([[b"y"]], dtype=object)))
    [question] = questions_of(message, MIXED, most=9)
    assert question.point[2] == 1.0


def test_what_cannot_be_read_is_said_and_a_sealed_payload_is_passed_over() -> None:
    assert questions_of(PredictionServed(), PLAIN, most=9) == []
    with pytest.raises(InvalidInput, match="not those of its model"):
        questions_of(record(1), MIXED, most=9)


def test_a_watch_outlives_its_storage_and_forgets_distances_of_other_scales() -> None:
    watch, rng = Watch(), np.random.default_rng(1)
    for _ in range(20):
        question = Question(point=rng.normal(size=3).astype("f4"), answer=1, margin=0.5)
        watch = observe(watch, question, radius=1.0, others=Others())
    stored = to_bytes(watch, scales_of="1")
    same, other = from_bytes(stored, scales_of="1"), from_bytes(stored, scales_of="2")
    assert (same.rows, same.shares, same.spacing.recent) == (watch.rows, watch.shares, watch.spacing.recent)
    assert np.array_equal(same.spacing.kept.points, watch.spacing.kept.points)
    assert (len(other.spacing.kept.points), other.shares) == (0, watch.shares)
    assert set(from_bytes(b"", scales_of="1").shares) == set(FLOORS)
