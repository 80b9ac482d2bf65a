import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import Unauthenticated
from slipway.tokens import Owner, issue, subject_of_key, verify

SECRET = b"s" * 32
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@given(TEXT, TEXT, TEXT)
def test_a_token_speaks_for_its_owner(subject: str, tenant: str, principal: str) -> None:
    owner = Owner(tenant, principal)
    assert verify(SECRET, issue(SECRET, subject=subject, owner=owner), subject=subject) == owner


@pytest.mark.parametrize("token", ["", "v1", "v1..", "v2.YQ.00", "v1.%%%.00", "v1.YQ.00", "v1.wqc=.é"])
def test_refuses_what_was_not_issued(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(SECRET, token, subject="p")


def test_refuses_the_token_of_another_subject_secret_or_owner() -> None:
    token = issue(SECRET, subject="p", owner=Owner("t", "a"))
    other_owner = issue(SECRET, subject="p", owner=Owner("t", "b")).split(".")[1]
    for bad, secret, subject in [
        (token, SECRET, "q"),
        (token, b"x" * 32, "p"),
        (f"v1.{other_owner}.{token.split('.')[2]}", SECRET, "p"),
    ]:
        with pytest.raises(Unauthenticated):
            verify(secret, bad, subject=subject)


def test_a_business_key_is_not_a_prediction_id() -> None:
    token = issue(SECRET, subject="k", owner=Owner("t", "a"))
    with pytest.raises(Unauthenticated):
        verify(SECRET, token, subject=subject_of_key("k"))
