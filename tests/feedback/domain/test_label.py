import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feedback.domain.claim import Reason, Refusal
from services.feedback.domain.label import LabelRules, canonical


def rules(*classes: str) -> LabelRules:
    return LabelRules(classes=classes, expire_after_s=60, accept_is_label=False)


@pytest.mark.parametrize(
    ("text", "classes", "label"),
    [
        ("1", ("0", "1"), "1"),
        (" 1\n", ("0", "1"), "1"),
        ("1.0", ("0", "1"), "1"),
        ("1e0", ("0", "1"), "1"),
        ("spam", ("spam", "ham"), "spam"),
        ("1.0", ("1", "1.0"), "1.0"),
        ("0.50", (), "0.5"),
        ("-0", (), "0.0"),
        ("1e3", (), "1000.0"),
        (".5", (), "0.5"),
    ],
)
def test_writes_a_label_as_the_spec_does(text: str, classes: tuple[str, ...], label: str) -> None:
    assert canonical(text, rules(*classes)) == label


@pytest.mark.parametrize(
    ("text", "classes", "reason"),
    [
        ("2", ("0", "1"), Reason.UNKNOWN_CLASS),
        ("Spam", ("spam", "ham"), Reason.UNKNOWN_CLASS),
        ("", ("spam", "ham"), Reason.UNKNOWN_CLASS),
        ("1.00", ("1", "1.0"), Reason.UNKNOWN_CLASS),
        ("nan", (), Reason.NOT_A_NUMBER),
        ("1e999", (), Reason.NOT_A_NUMBER),
        ("1_000", (), Reason.NOT_A_NUMBER),
        ("١", (), Reason.NOT_A_NUMBER),
        ("", (), Reason.NOT_A_NUMBER),
    ],
)
def test_refuses_what_the_spec_does_not_know(text: str, classes: tuple[str, ...], reason: Reason) -> None:
    refusal = canonical(text, rules(*classes))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_not_changed_and_its_form_is_settled(number: float) -> None:
    label = canonical(repr(number), rules())
    assert isinstance(label, str)
    assert float(label) == number
    assert canonical(label, rules()) == label
