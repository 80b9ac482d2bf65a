from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback.domain.claim import Claim, Content, Kind, Subject
from services.feedback.domain.identity import id_digest, identity_of, key_digest, subject_digest
from slipway.tokens import Owner

ANNA, BERT = Owner("acme", "anna"), Owner("acme", "bert")
CLAIM = Claim(subject=Subject(prediction_id="p"), content=Content(kind=Kind.LABEL, text="1"))


def test_the_senders_id_comes_before_the_event_id_and_that_before_the_content() -> None:
    with_both = replace(CLAIM, feedback_id="f", event_id="e")
    assert identity_of(with_both, ANNA) == identity_of(replace(with_both, event_id="other"), ANNA)
    assert identity_of(with_both, ANNA) != identity_of(replace(with_both, feedback_id=""), ANNA)
    with_event = replace(CLAIM, event_id="e")
    relabelled = replace(with_event, content=Content(kind=Kind.LABEL, text="0"))
    assert identity_of(with_event, ANNA) == identity_of(relabelled, ANNA)


@pytest.mark.parametrize(
    "other",
    [
        replace(CLAIM, subject=Subject(prediction_id="q")),
        replace(CLAIM, subject=Subject(prediction_id="p", row=1)),
        replace(CLAIM, content=Content(kind=Kind.LABEL, text="0")),
        replace(CLAIM, content=Content(kind=Kind.EDITED_LABEL, text="1")),
        replace(CLAIM, source="till"),
        replace(CLAIM, observed_at_s=1.0),
    ],
)
def test_without_ids_every_part_of_the_content_counts(other: Claim) -> None:
    assert identity_of(CLAIM, ANNA) == identity_of(replace(CLAIM), ANNA)
    assert identity_of(CLAIM, ANNA) != identity_of(other, ANNA)


def test_nobody_can_use_up_anothers_ids() -> None:
    claim = replace(CLAIM, feedback_id="f")
    assert identity_of(claim, ANNA) != identity_of(claim, BERT)


@given(st.text(), st.text(), st.text(), st.text())
def test_ids_of_different_forms_or_borders_never_meet(a: str, b: str, c: str, d: str) -> None:
    if (a, b) != (c, d):
        assert key_digest(a, b, ANNA) != key_digest(c, d, ANNA)
    assert id_digest(a) != key_digest(a, b, ANNA)


def test_a_prediction_id_names_the_prediction_even_beside_a_key() -> None:
    both = Subject(prediction_id="p", business_key="order-1", model="m")
    assert subject_digest(both, ANNA) == id_digest("p")


def test_a_key_names_only_its_owners_prediction() -> None:
    subject = Subject(business_key="order-1", model="m")
    assert subject_digest(subject, ANNA) == key_digest("m", "order-1", ANNA)
    assert subject_digest(subject, ANNA) != subject_digest(subject, BERT)
