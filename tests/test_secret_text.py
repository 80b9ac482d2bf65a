from pathlib import Path

import pytest

from slipway.errors import NotFound
from slipway.secret_text import secret_text, secret_variable


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "kafka_gateway.password"
    path.write_text("of the file\n")
    assert secret_text(path, {}) == "of the file"
    assert secret_text(path, {"SLIPWAY_SECRET_KAFKA_GATEWAY_PASSWORD": " given "}) == "given"


def test_the_variable_of_a_name_has_letters_digits_and_underscores_alone() -> None:
    assert secret_variable("api-keys.pepper") == "SLIPWAY_SECRET_API_KEYS_PEPPER"


def test_neither_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"a\.key: No such file .* or set SLIPWAY_SECRET_A_KEY"):
        secret_text(tmp_path / "a.key", {})
