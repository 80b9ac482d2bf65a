from pathlib import Path
from typing import Any

import pytest

from services.gateway.settings import Settings
from slipway.errors import InvalidInput


def settings(**changed: Any) -> Settings:
    here = Path("here")
    return Settings(
        kafka_bootstrap="",
        state_dir=here,
        secrets_dir=here,
        grpc_port=1,
        http_port=2,
        postgres_dsn="",
        admin_port=3,
        inference_target="",
        **changed,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"circuit_failure_share": 0.0},
        {"circuit_failure_share": 1.1},
        {"max_ejected_share": 0.0},
        {"max_ejected_share": 2.0},
        {"circuit_min_calls": 0},
        {"circuit_open_s": 0.0},
        {"ejection_s": -1.0},
        {"ejection_s": float("nan")},
    ],
)
def test_a_setting_that_could_have_no_effect_is_named(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(InvalidInput, match=f"SLIPWAY_{name.upper()}"):
        settings(**changed)


def test_the_defaults_are_good() -> None:
    assert settings().circuit_failure_share == 0.5
