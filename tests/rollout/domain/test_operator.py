import hashlib

import pytest

from services.rollout.domain.operator import check_is_admin, check_operator, digest_of, who_could
from slipway.errors import Denied, InvalidInput


def test_roles_are_kept_once_and_in_order() -> None:
    assert check_operator("anna.b@shop", ["risk", "owner", "risk"]) == ("owner", "risk")


@pytest.mark.parametrize(
    ("name", "roles", "problem"),
    [
        ("", ["owner"], "a letter, then"),
        ("Anna", ["owner"], "a letter, then"),
        ("a" * 64, ["owner"], "a letter, then"),
        ("anna\n", ["owner"], "a letter, then"),
        ("operator", ["owner"], "take another"),
        ("rollout", ["owner"], "take another"),
        ("anna", ["Owner"], "role 'Owner'"),
        ("anna", [], "needs 1 to 32 roles"),
        ("anna", [f"r{n}" for n in range(33)], "needs 1 to 32 roles"),
    ],
)
def test_a_name_or_role_that_a_log_should_not_carry_is_refused(
    name: str, roles: list[str], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        check_operator(name, roles)


def test_only_an_administrator_is_one() -> None:
    check_is_admin("anna", ("admin",))
    with pytest.raises(Denied, match="bob has not the role 'admin'"):
        check_is_admin("bob", ("owner",))


def test_who_could_sign_is_named_or_how_to_make_somebody() -> None:
    known = [("bob", ("owner",)), ("anna", ("owner", "risk")), ("eve", ("risk",))]
    assert who_could("owner", known) == "these could: anna, bob"
    assert "slipway operators add NAME --role legal" in who_could("legal", known)


def test_a_token_is_kept_as_its_digest() -> None:
    assert digest_of("slo_x") == hashlib.sha256(b"slo_x").digest()
