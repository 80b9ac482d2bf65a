import pytest

from services.rollout.domain.roles import check_is_admin, who_could
from slipway.errors import Denied


def test_only_an_administrator_is_one() -> None:
    check_is_admin("anna", ("admin",))
    with pytest.raises(Denied, match="bob has not the role 'admin'"):
        check_is_admin("bob", ("owner",))


def test_who_could_sign_is_named_or_how_to_make_somebody() -> None:
    assert who_could("owner", ["anna", "bob"]) == "these could: anna, bob"
    assert "slipway keys create NAME --role legal" in who_could("legal", [])
