"""issuers.yaml: what is wrong is named with its line and key, and nothing of the file is in force then."""

import pytest

from slipway.errors import InvalidInput
from slipway.identity.access_file import is_safe_url, parse
from tests.identity import issuer

CERTIFICATE = "certificates:\n  - {uri: spiffe://acme/shop, principal: shop, roles: [app]}\n"


def parsed(text: str) -> None:
    parse({"issuers.yaml": text.encode(), "jwks/acme.json": issuer.jwks("ec-1")})


def test_no_file_means_nobody_else() -> None:
    assert parse({}) == parse({"issuers.yaml": b"issuers: []\n"})


def test_a_whole_file_is_read() -> None:
    it = parse(
        {"issuers.yaml": (issuer.FROM_FILE + CERTIFICATE).encode(), "jwks/acme.json": issuer.jwks("ec-1")}
    )
    assert it.issuers[issuer.ISSUER].principal.claim == ("sub",)
    assert it.file_keys[issuer.ISSUER].find("ec-1") is not None
    assert it.certificates[0].principal == "shop"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "audience: slipway",
            "audiance: slipway",
            "line 4: issuers.0.audiance: unknown key; is it `audience`",
        ),
        ("    audience: slipway\n", "", "issuers.0.audience: this key is required"),
        ("[ES256, RS256]", "[HS256]", "line 5: issuers.0.algorithms.0"),
        ("[ES256, RS256]", "[none]", "issuers.0.algorithms.0"),
        ("[ES256, RS256]", "[]", "issuers.0.algorithms"),
        ("[ES256, RS256]", "[EdDSA]", "no key in it is for signatures by EdDSA"),
        ("jwks_file: jwks/acme.json", "jwks_file: jwks/other.json", "there is no 'jwks/other.json'"),
        ("jwks_file: jwks/acme.json", "leeway_s: 10", "needs one of `jwks_url` and `jwks_file`"),
        ("jwks_file: jwks/acme.json", "jwks_url: http://acme.example/keys", "must be https://"),
        ("allowed: [acme]", "allowed: []", "`claim` and `allowed` go together"),
        ("allowed: [acme]", 'allowed: ["a b"]', "tenant 'a b'"),
        ("claim: org, allowed: [acme]", "fixed: ''", "needs one of `fixed` and `claim`"),
        ("claim: [realm, groups], map", "map", "`claim` and `map` go together"),
        ("ml-owners: owner", "ml-owners: Owner", "role 'Owner'"),
        ("{claim: [realm, groups], map: {ml-apps: app, ml-owners: owner}}", "{}", "nobody of this issuer"),
    ],
)
def test_what_is_wrong_with_an_issuer_is_named(old: str, new: str, problem: str) -> None:
    assert old in issuer.FROM_FILE
    with pytest.raises(InvalidInput, match=r"issuers\.yaml") as failure:
        parsed(issuer.FROM_FILE.replace(old, new))
    assert problem in str(failure.value)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{principal: shop, roles: [app]}", "needs one of `uri`, `dns` and `subject`"),
        ("{uri: a, dns: b, principal: shop, roles: [app]}", "needs one of `uri`, `dns` and `subject`"),
        ("{uri: spiffe://*/a, roles: [app]}", "`*` stands for the last part"),
        ('{dns: "*.*.acme", roles: [app]}', "`*` stands for the last part"),
        ("{uri: spiffe://acme/*, principal: shop, roles: [app]}", "is needed where no `*` stands for it"),
        ("{uri: spiffe://acme/a, roles: [app]}", "is needed where no `*` stands for it"),
        ("{uri: spiffe://acme/a, principal: operator, roles: [app]}", "take another"),
        ("{uri: spiffe://acme/a, principal: a, roles: []}", "certificates.0.roles"),
        ("{uri: spiffe://acme/a, principal: a, roles: [A]}", "role 'A'"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_named(rule: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=r"line 2: certificates\.0") as failure:
        parsed(f"certificates:\n  - {rule}\n")
    assert problem in str(failure.value)


def test_an_issuer_stands_there_once_and_files_are_text() -> None:
    twice = issuer.FROM_FILE + issuer.FROM_FILE.replace("\nissuers:", "")
    with pytest.raises(InvalidInput, match="is listed twice"):
        parsed(twice)
    with pytest.raises(InvalidInput, match="UTF-8"):
        parse({"issuers.yaml": b"\xff"})


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://acme.example/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]/keys", True),
        ("http://acme.example/keys", False),
        ("https://user:secret@acme.example/keys", False),
        ("https://acme.example/keys#x", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://[::1/keys", False),
    ],
)
def test_keys_come_by_ways_that_nobody_can_change(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe
