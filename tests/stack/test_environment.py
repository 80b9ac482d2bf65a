from pathlib import Path

import pytest

from slipway.stack.credentials import SHARED, make_secrets, password_file
from slipway.stack.environment import SERVICES, cli_environment, service_environment
from slipway.stack.layout import choose_public_tls, find_layout
from slipway.stack.role_provision import ROLES
from slipway.tls import parse_target


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secrets").mkdir()
    make_secrets(tmp_path / "secrets", names=[*SHARED, *(password_file(role) for role in ROLES)])
    return {"SLIPWAY_HOME": str(tmp_path), "SLIPWAY_PORT_OFFSET": "1000"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_finds_every_other(name: str, environ: dict[str, str]) -> None:
    variables = service_environment(name, environ)
    for other in SERVICES:
        target = parse_target(variables[f"SLIPWAY_{other.upper()}_TARGET"])
        assert target.address.startswith("127.0.0.1:")
        # The gateway's is its public port; all others ask for the caller's certificate.
        assert target.is_encrypted == (other != "gateway")
        assert target.cert_file.endswith(f"certificates/{name}.pem" if target.is_encrypted else "")


def test_a_service_gets_its_own_ports_and_role(environ: dict[str, str]) -> None:
    variables = service_environment("feedback", environ)
    assert variables["SLIPWAY_GRPC_PORT"] == "19020"
    assert variables["SLIPWAY_POSTGRES_DSN"].startswith("postgresql://feedback:")
    assert variables["SLIPWAY_POSTGRES_DSN"].endswith("@127.0.0.1:16432/slipway")


def test_only_those_who_use_ray_get_its_token(environ: dict[str, str]) -> None:
    assert "RAY_AUTH_TOKEN_PATH" in service_environment("inference", environ)
    assert "RAY_AUTH_TOKEN_PATH" not in service_environment("gateway", environ)


def test_the_gateway_alone_gets_the_shared_cache(environ: dict[str, str]) -> None:
    password = (Path(environ["SLIPWAY_HOME"]) / "secrets" / "redis_gateway.password").read_text()
    assert service_environment("gateway", environ)["SLIPWAY_REDIS_URL"] == (
        f"redis://gateway:{password}@127.0.0.1:16370/0"
    )
    assert "SLIPWAY_REDIS_URL" not in service_environment("feedback", environ)
    assert "SLIPWAY_REDIS_URL" not in cli_environment(environ)


def test_commands_get_no_database(environ: dict[str, str]) -> None:
    assert not any("POSTGRES" in variable for variable in cli_environment(environ))


def test_replicas_get_a_certificate_of_their_own_unless_it_is_taken_away(environ: dict[str, str]) -> None:
    assert service_environment("inference", environ)["SLIPWAY_REPLICA_CERT"].endswith("/replica.pem")
    off = service_environment("inference", environ | {"SLIPWAY_REPLICA_CERT": ""})
    assert off["SLIPWAY_REPLICA_CERT"] == ""
    assert "SLIPWAY_REPLICA_CERT" not in service_environment("gateway", environ)


def test_the_public_ports_speak_tls_when_that_was_chosen_and_commands_know_it(
    environ: dict[str, str],
) -> None:
    layout, names = find_layout(environ), ("SLIPWAY_GATEWAY_TARGET", "SLIPWAY_GATEWAY_HTTP_URL")
    for is_wanted in (True, False):
        choose_public_tls(layout, is_wanted=is_wanted)
        target, url = (cli_environment(environ)[name] for name in names)
        assert parse_target(target).is_encrypted == url.startswith("https://") == is_wanted
        assert not parse_target(target).cert_file
        assert ("SLIPWAY_TLS_CERT" in service_environment("gateway", environ)) == is_wanted
