import pytest

from services.feedback.specs import SpecBook
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.v1.rollout_pb2 import ModelSpec
from tests.feedback.bench import CLASSES, SPEC


def spec(revision: int, label: str) -> Event:
    text = SPEC.format(name="m", task="binary", label=label)
    message = ModelSpec(name="m", revision=revision, yaml=text)
    return Event(topic="model_specs", key="m", message=message, event_id="")


def test_the_newest_revision_counts_whatever_comes_last() -> None:
    book = SpecBook()
    book.apply(spec(2, CLASSES + ", accept_is_label: true"))
    book.apply(spec(1, CLASSES))
    assert book.rules["m"].accept_is_label
    assert book.rules["m"].classes == ("0", "1")
    book.apply(spec(3, CLASSES + ", expire_after_s: 5.0"))
    assert (book.rules["m"].accept_is_label, book.rules["m"].expire_after_s) == (False, 5.0)


def test_a_spec_that_cannot_be_read_leaves_the_last_good_one() -> None:
    book = SpecBook()
    book.apply(spec(1, CLASSES))
    with pytest.raises(InvalidInput):
        book.apply(spec(2, "colours: 7"))
    assert book.rules["m"].classes == ("0", "1")
