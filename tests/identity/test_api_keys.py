from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import InvalidInput, Unauthenticated
from slipway.identity.api_keys import (
    ApiKey,
    check_name,
    check_pepper,
    check_principal,
    check_roles,
    identify,
    mac_of,
    text_of,
)

PEPPER = b"p" * 32
NOW_S = 1000.0
TEXT = text_of("abc123", "se_cr-et")
KEY = ApiKey(key_id="abc123", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT))
KEYS = {"abc123": KEY}


def test_finds_the_key_whose_text_is_given() -> None:
    assert identify(TEXT, KEYS, pepper=PEPPER, now_s=NOW_S) == KEY


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
        identify(text, KEYS, pepper=PEPPER, now_s=NOW_S)
    assert "slipway keys create" in str(failure.value)


@given(st.text())
def test_no_other_text_opens(text: str) -> None:
    if text != TEXT:
        with pytest.raises(Unauthenticated):
            identify(text, KEYS, pepper=PEPPER, now_s=NOW_S)


def test_another_pepper_opens_nothing() -> None:
    with pytest.raises(Unauthenticated):
        identify(TEXT, KEYS, pepper=b"q" * 32, now_s=NOW_S)


def test_a_refusal_never_repeats_the_secret() -> None:
    with pytest.raises(Unauthenticated) as failure:
        identify("slk_abc123_topsecret", KEYS, pepper=PEPPER, now_s=NOW_S)
    assert "topsecret" not in str(failure.value)


@pytest.mark.parametrize("name", ["shop", "svc:frontend/eu-1", "a@b.c", "x" * 128])
def test_names_that_records_can_carry(name: str) -> None:
    assert check_name("principal", name) == name


@pytest.mark.parametrize("name", ["", "x" * 129, "a\0b", "a b", "-a", "a\n"])
def test_refuses_other_names(name: str) -> None:
    with pytest.raises(InvalidInput, match="principal"):
        check_name("principal", name)


def test_a_key_opens_until_it_expires_and_is_told_so_only_to_its_holder() -> None:
    keys = {"abc123": replace(KEY, expires_at_s=1000.0)}
    assert identify(TEXT, keys, pepper=PEPPER, now_s=999.9).key_id == "abc123"
    with pytest.raises(Unauthenticated, match="has expired"):
        identify(TEXT, keys, pepper=PEPPER, now_s=1000.0)
    with pytest.raises(Unauthenticated, match="unknown or revoked"):
        identify(TEXT + "x", keys, pepper=PEPPER, now_s=1000.0)


def test_roles_are_kept_once_and_in_order() -> None:
    assert check_roles(["risk", "owner", "risk"]) == ("owner", "risk")


@pytest.mark.parametrize("roles", [[], ["Owner"], ["a b"], ["x" * 64], [f"r{n}" for n in range(33)]])
def test_refuses_roles_that_a_policy_could_not_name(roles: list[str]) -> None:
    with pytest.raises(InvalidInput, match="role"):
        check_roles(roles)


@pytest.mark.parametrize("name", ["operator", "rollout", "retraining", "gateway"])
def test_nobody_is_called_like_a_part_of_the_system(name: str) -> None:
    with pytest.raises(InvalidInput, match="take another"):
        check_principal(name)
    assert check_principal(f"{name}-2") == f"{name}-2"


def test_a_short_pepper_is_none() -> None:
    assert check_pepper("p" * 32) == b"p" * 32
    with pytest.raises(InvalidInput, match="31 characters"):
        check_pepper("p" * 31)
