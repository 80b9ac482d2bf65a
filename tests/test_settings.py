from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.settings import ServiceSettings, load


@dataclass(frozen=True, kw_only=True)
class Example:
    port: int
    share: float = 0.5
    is_strict: bool = False
    folder: Path = Path("/tmp")


def test_reads_each_type() -> None:
    environ = {
        "SLIPWAY_PORT": "80",
        "SLIPWAY_SHARE": "0.25",
        "SLIPWAY_IS_STRICT": "true",
        "SLIPWAY_FOLDER": "/x",
    }
    assert load(Example, environ) == Example(port=80, share=0.25, is_strict=True, folder=Path("/x"))


def test_names_everything_that_is_wrong_at_once() -> None:
    with pytest.raises(
        InvalidInput, match=r"SLIPWAY_PORT is not set \(a int\); .*SLIPWAY_SHARE='x' is not a float"
    ):
        load(Example, {"SLIPWAY_SHARE": "x"})


def test_refuses_a_boolean_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_IS_STRICT='maybe'"):
        load(Example, {"SLIPWAY_PORT": "1", "SLIPWAY_IS_STRICT": "maybe"})


def test_refuses_an_empty_secret(tmp_path: Path) -> None:
    settings = ServiceSettings(
        kafka_bootstrap="", state_dir=tmp_path, secrets_dir=tmp_path, grpc_port=1, http_port=2
    )
    (tmp_path / "a.key").write_text(" \n")
    for name in ("a.key", "b.key"):
        with pytest.raises(InvalidInput, match=rf"the secret \S+{name}.*run `slipway init`"):
            settings.secret(name)
