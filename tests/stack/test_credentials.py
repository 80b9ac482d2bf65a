from pathlib import Path

import pytest

from slipway.errors import NotFound
from slipway.stack.credentials import make_secrets, read_secret


def test_a_secret_is_made_once_and_readable_by_the_owner_alone(tmp_path: Path) -> None:
    make_secrets(tmp_path, names=["operator.token"])
    first = read_secret(tmp_path, "operator.token")
    make_secrets(tmp_path, names=["operator.token"])
    assert read_secret(tmp_path, "operator.token") == first
    assert len(bytes.fromhex(first)) == 32
    assert (tmp_path / "operator.token").stat().st_mode & 0o777 == 0o600


def test_a_missing_secret_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"operator\.token: No such file or directory; run `slipway init`"):
        read_secret(tmp_path, "operator.token")
