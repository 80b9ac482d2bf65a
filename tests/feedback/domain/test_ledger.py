from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback.domain.claim import Claim, Content, Kind, Reason, Refusal, Subject
from services.feedback.domain.identity import id_digest, key_digest
from services.feedback.domain.join import Effect, Row, State
from services.feedback.domain.label import LabelRules
from services.feedback.domain.ledger import (
    Applied,
    Arrival,
    Duplicate,
    Ledger,
    Outcome,
    Parked,
    Prediction,
    StoredRow,
)
from slipway.tokens import Owner

ANNA, BERT = Owner("acme", "anna"), Owner("acme", "bert")
RULES = LabelRules(classes=("0", "1"), expire_after_s=60, accept_is_label=False)
PREDICTION = Prediction(prediction_id="p", owner=ANNA, model="m", rows=2)


def ledger(**more: Any) -> Ledger:
    rows = {("p", row): StoredRow(row=Row(), predicted="1") for row in range(2)}
    parts: dict[str, Any] = {
        "predictions": {id_digest("p"): PREDICTION, key_digest("m", "order-1", ANNA): PREDICTION},
        "rows": rows,
        "rules": {"m": RULES},
        "seen": set(),
        "parked": Counter(),
        "max_parked": 2,
    }
    return Ledger(**(parts | more))


def label(text: str = "1", *, prediction_id: str = "p", row: int = 0, **more: Any) -> Claim:
    return Claim(
        subject=Subject(prediction_id=prediction_id, row=row),
        content=Content(kind=Kind.LABEL, text=text),
        **more,
    )


def saying(kind: Kind, **content: Any) -> Claim:
    return replace(label(), content=Content(kind=kind, **content))


def by_anna(claim: Claim) -> Arrival:
    return Arrival(claim=claim, owner=ANNA)


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


def applied(outcome: Outcome) -> Applied:
    assert isinstance(outcome, Applied), outcome
    return outcome


def test_a_label_meets_its_row() -> None:
    outcome = applied(ledger().apply(by_anna(label("1.0", row=1, source="till"))))
    assert (outcome.key, outcome.model, outcome.effect, outcome.signal) == (
        ("p", 1),
        "m",
        Effect.MATCHED,
        None,
    )
    assert outcome.row == Row(state=State.MATCHED, label="1", source="till", revision=1)


def test_a_business_key_leads_to_the_prediction() -> None:
    claim = replace(label(), subject=Subject(business_key="order-1", model="m"))
    assert applied(ledger().apply(by_anna(claim))).key == ("p", 0)


def test_anothers_business_key_waits_for_a_prediction_of_its_own() -> None:
    claim = replace(label(), subject=Subject(business_key="order-1", model="m"))
    outcome = ledger().apply(Arrival(claim=claim, owner=BERT))
    assert outcome == Parked(subject=key_digest("m", "order-1", BERT))


def test_the_same_feedback_has_one_effect() -> None:
    it = ledger()
    assert applied(it.apply(by_anna(label(feedback_id="f")))).effect is Effect.MATCHED
    assert it.apply(by_anna(label("0", feedback_id="f"))) == Duplicate()


def test_refuses_what_was_served_to_somebody_else() -> None:
    outcome = ledger().apply(Arrival(claim=label(), owner=BERT))
    assert reason(outcome) is Reason.FOREIGN
    assert isinstance(outcome, Refusal)
    assert outcome.model == "m"


def test_refuses_a_row_that_the_prediction_does_not_have() -> None:
    assert reason(ledger().apply(by_anna(label(row=2)))) is Reason.BAD_ROW


def test_refuses_a_label_outside_the_classes_and_takes_the_same_feedback_once_it_is_right() -> None:
    it = ledger()
    assert reason(it.apply(by_anna(label("2", feedback_id="f")))) is Reason.UNKNOWN_CLASS
    assert applied(it.apply(by_anna(label("1", feedback_id="f")))).effect is Effect.MATCHED


def test_refuses_labels_of_a_model_without_a_spec() -> None:
    assert reason(ledger(rules={}).apply(by_anna(label()))) is Reason.NO_SPEC


def test_parks_early_feedback_up_to_the_tenants_bound() -> None:
    it = ledger()
    early = [it.apply(by_anna(label(prediction_id=p))) for p in ("a", "b", "c")]
    assert early[:2] == [Parked(subject=id_digest("a")), Parked(subject=id_digest("b"))]
    assert reason(early[2]) is Reason.TOO_MANY_PARKED
    assert isinstance(ledger(parked=Counter({"other": 2})).apply(by_anna(label(prediction_id="a"))), Parked)


def test_parked_feedback_is_not_its_own_duplicate() -> None:
    it = ledger()
    first = by_anna(label(feedback_id="f"))
    it.apply(first)
    assert isinstance(it.apply(replace(first, is_from_park=True)), Applied)


@pytest.mark.parametrize(
    ("claim", "accept_is_label", "effect", "is_signal"),
    [
        (saying(Kind.EDITED_LABEL, text="0"), False, Effect.MATCHED, False),
        (saying(Kind.ACCEPTED, is_yes=True), True, Effect.MATCHED, True),
        (saying(Kind.ACCEPTED, is_yes=True), False, None, True),
        (saying(Kind.ACCEPTED, is_yes=False), True, None, True),
        (saying(Kind.RATING, number=0.5), True, None, True),
        (saying(Kind.BUSINESS_VALUE, number=7.0), True, None, True),
        (saying(Kind.RETRACT, is_yes=True), True, Effect.NOTHING_TO_WITHDRAW, False),
    ],
)
def test_what_becomes_a_label_and_what_a_signal(
    claim: Claim, accept_is_label: bool, effect: Effect | None, is_signal: bool
) -> None:
    rules = {"m": replace(RULES, accept_is_label=accept_is_label)}
    outcome = applied(ledger(rules=rules).apply(by_anna(claim)))
    assert outcome.effect is effect
    assert outcome.signal == (claim.content if is_signal else None)
    if effect is Effect.MATCHED:
        assert outcome.row.label == ("0" if claim.content.text else "1")


claims = st.lists(
    st.builds(
        lambda row, content, number: replace(label(row=row, feedback_id=str(number)), content=content),
        st.integers(0, 1),
        st.sampled_from(
            [
                Content(kind=Kind.LABEL, text="0"),
                Content(kind=Kind.LABEL, text="1"),
                Content(kind=Kind.LABEL, text="7"),
                Content(kind=Kind.RETRACT, is_yes=True),
                Content(kind=Kind.RATING, number=1.0),
            ]
        ),
        st.integers(0, 10**9),
    ),
    max_size=12,
    unique_by=lambda c: c.feedback_id,
)


def stored(it: Ledger) -> dict[tuple[str, int], Row]:
    return {key: value.row for key, value in it.rows.items()}


@given(claims, st.data())
def test_only_the_order_of_arrival_matters(sent: list[Claim], data: st.DataObject) -> None:
    """However deliveries are cut into batches, repeated, or parked first, the rows end up the same."""
    expected = ledger()
    for claim in sent:
        expected.apply(by_anna(claim))
    rows, seen = ledger().rows, set[bytes]()
    at = 0
    while at < len(sent):
        again = data.draw(st.integers(0, at), label="the batch starts again from")
        end = data.draw(st.integers(at + 1, len(sent)), label="and ends before")
        batch = ledger(rows=dict(rows), seen=set(seen))
        is_rolled_back = data.draw(st.booleans(), label="the process is killed before the commit")
        for number, claim in enumerate(sent[again:end], start=again):
            outcome = batch.apply(by_anna(claim))
            if number < at:
                assert isinstance(outcome, Duplicate | Refusal)
        if not is_rolled_back:
            rows, seen, at = batch.rows, batch.seen, end
    assert rows == stored_rows(expected)


def stored_rows(it: Ledger) -> dict[tuple[str, int], StoredRow]:
    return it.rows


@given(claims, st.integers(0, 12))
def test_feedback_that_waited_for_its_record_ends_the_same(
    sent: list[Claim], record_comes_after: int
) -> None:
    expected = ledger()
    for claim in sent:
        expected.apply(by_anna(claim))
    before = ledger(predictions={}, max_parked=100)
    early = [by_anna(claim) for claim in sent[:record_comes_after]]
    assert all(isinstance(before.apply(arrival), Parked) for arrival in early)
    after = ledger(seen=before.seen)
    for arrival in early:
        after.apply(replace(arrival, is_from_park=True))
    for claim in sent[record_comes_after:]:
        after.apply(by_anna(claim))
    assert stored(after) == stored(expected)
