"""The list that keeps callbacks from going where they should not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.callback_urls import CallbackPolicy, policy_of
from slipway.errors import InvalidInput

ALLOWED = policy_of("https://hooks.example.com/slipway, http://127.0.0.1:9000/,http://[::1]:8080/x/", "")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/slipway/",
        "https://hooks.example.com/slipway",
        "https://hooks.example.com:443/slipway/a/b?c=d&e=%2F",
        "http://127.0.0.1:9000/anything",
        "http://127.0.0.1:9000",
        "http://[::1]:8080/x/y",
    ],
)
def test_what_lies_below_a_prefix_is_allowed(url: str) -> None:
    ALLOWED.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com/slipway/",
        "//hooks.example.com/slipway/",
        "http://hooks.example.com/slipway/",
        "https://hooks.example.com:444/slipway/",
        "https://hooks.example.com/slipwayx",
        "https://hooks.example.com/",
        "https://hooks.example.com.evil.example/slipway/",
        "https://hooks.example.com@evil.example/slipway/",
        "https://user:secret@hooks.example.com/slipway/",
        "https://evil.example/https://hooks.example.com/slipway/",
        "https://hooks.example.com/slipway/../admin",
        "https://hooks.example.com/slipway/./a",
        "https://hooks.example.com/slipway/%2e%2e/admin",
        "https://hooks.example.com/slipway/%2E%2E/admin",
        "https://hooks.example.com/slipway/..%2fadmin",
        "https://hooks.example.com/slipway/..%5cadmin",
        "https://hooks.example.com/slipway//a",
        "https://hooks.example.com/slipway/#@evil.example",
        "https://hooks.example.com\\@evil.example/slipway/",
        "https://hooks.example.com/slipway/a b",
        "https://hooks.example.com/slipway/\r\nhost: evil",
        "https://hooks.example.com/slipway/\0",
        "https://hooks.example.com/slipway/ü",
        "https://HOOKS.example.com/slipway/",
        "https://hooks.example.com./slipway/",
        "https://hooks.example.com:0/slipway/",
        "https://hooks.example.com:99999/slipway/",
        "https://hooks.example.com:/slipway/x",
        "file:///etc/passwd",
        "http://2130706433:9000/",
        "http://0177.0.0.1:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://127.0.0.1:9001/",
        "https://hooks.example.com/slipway/" + "a" * 2000,
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"callback_url|no plain http"):
        ALLOWED.check_url(url)


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        policy_of("https://hooks.example.com/slipway/", "").check_url(text)


def test_without_a_list_there_are_no_callbacks() -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_CALLBACK_ALLOW"):
        policy_of("", "").check_url("https://hooks.example.com/")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not policy_of("", "").allows_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert policy_of("", "").allows_address(address)


def test_a_listed_network_is_allowed_and_its_neighbour_is_not() -> None:
    policy: CallbackPolicy = policy_of("", "10.1.2.0/24, fd00::/8")
    assert [policy.allows_address(a) for a in ("10.1.2.3", "10.1.3.1", "fd12::1", "::1")] == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("allow", "networks"),
    [("hooks.example.com", ""), ("https://a b/", ""), ("ftp://x/", ""), ("", "10.0.0.1/8"), ("", "home")],
)
def test_a_list_that_cannot_be_read_is_an_error(allow: str, networks: str) -> None:
    with pytest.raises(InvalidInput):
        policy_of(allow, networks)
