from pathlib import Path
from typing import Any

import pytest

from services.gateway.settings import Settings
from slipway.errors import InvalidInput


def settings(**fields: Any) -> Settings:
    values: dict[str, Any] = {
        "kafka_bootstrap": "k",
        "state_dir": Path("/s"),
        "secrets_dir": Path("/s"),
        "grpc_port": 1,
        "http_port": 2,
        "postgres_dsn": "p",
        "admin_port": 3,
        "inference_target": "i",
        "jobs_target": "j",
    }
    return Settings(**{**values, **fields})


@pytest.mark.parametrize("url", ["", "redis://:x@h:1/0", "rediss://h:1", "unix:///run/redis.sock"])
def test_a_shared_cache_is_optional_and_may_be_reached_in_three_ways(url: str) -> None:
    assert settings(redis_url=url).redis_url == url


def test_a_wrong_address_of_the_shared_cache_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_REDIS_URL") as refused:
        settings(redis_url="http://:geheim@h:1")
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"cache_bytes": 1000}, "SLIPWAY_CACHE_BYTES=1000"),
        ({"cache_budget_ms": 0}, "SLIPWAY_CACHE_BUDGET_MS=0"),
        ({"cache_budget_ms": 1001}, "SLIPWAY_CACHE_BUDGET_MS=1001"),
        ({"cache_budget_ms": float("nan")}, "SLIPWAY_CACHE_BUDGET_MS=nan"),
        ({"cache_stale_s": -1}, "SLIPWAY_CACHE_STALE_S=-1"),
    ],
)
def test_a_cache_that_could_not_work_is_refused(fields: dict[str, Any], variable: str) -> None:
    with pytest.raises(InvalidInput, match=variable):
        settings(**fields)


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


def test_a_shared_port_needs_one_of_its_own_beside_it() -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_SHARE_PORTS needs SLIPWAY_PROBE_PORT"):
        settings(share_ports=True)
    assert settings(share_ports=True, probe_port=4).share_ports


@pytest.mark.parametrize("drain_s", [-1, 10, 32.9, float("nan")])
def test_a_drain_that_would_cut_connections_off_is_refused(drain_s: float) -> None:
    with pytest.raises(InvalidInput, match="SLIPWAY_DRAIN_S"):
        settings(connection_age_s=30, drain_s=drain_s)
    assert settings(connection_age_s=30, drain_s=33).drain_s == 33


def test_the_defaults_are_good() -> None:
    assert settings().circuit_failure_share == 0.5
