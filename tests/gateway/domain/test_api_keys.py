import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.api_keys import ApiKey, check_name, identify, mac_of, text_of
from slipway.errors import InvalidInput, Unauthenticated

PEPPER = b"p" * 32
TEXT = text_of("abc123", "se_cr-et")
KEY = ApiKey(key_id="abc123", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT))
KEYS = {"abc123": KEY}


def test_finds_the_key_whose_text_is_given() -> None:
    assert identify(TEXT, KEYS, pepper=PEPPER) == KEY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no API key"),
        ("slk_abc123", "not of the form"),
        ("slk__x", "not of the form"),
        ("key_abc123_se_cr-et", "not of the form"),
        ("slk_abc124_se_cr-et", "unknown or revoked"),
        ("slk_abc123_se_cr-eT", "unknown or revoked"),
    ],
)
def test_refuses_everything_else_and_says_what_to_do(text: str, why: str) -> None:
    with pytest.raises(Unauthenticated, match=why) as failure:
        identify(text, KEYS, pepper=PEPPER)
    assert "slipway keys create" in str(failure.value)


@given(st.text())
def test_no_other_text_opens(text: str) -> None:
    if text != TEXT:
        with pytest.raises(Unauthenticated):
            identify(text, KEYS, pepper=PEPPER)


def test_another_pepper_opens_nothing() -> None:
    with pytest.raises(Unauthenticated):
        identify(TEXT, KEYS, pepper=b"q" * 32)


def test_a_refusal_never_repeats_the_secret() -> None:
    with pytest.raises(Unauthenticated) as failure:
        identify("slk_abc123_topsecret", KEYS, pepper=PEPPER)
    assert "topsecret" not in str(failure.value)


@pytest.mark.parametrize("name", ["shop", "svc:frontend/eu-1", "a@b.c", "x" * 128])
def test_names_that_records_can_carry(name: str) -> None:
    assert check_name("principal", name) == name


@pytest.mark.parametrize("name", ["", "x" * 129, "a\0b", "a b", "-a", "a\n"])
def test_refuses_other_names(name: str) -> None:
    with pytest.raises(InvalidInput, match="principal"):
        check_name("principal", name)
