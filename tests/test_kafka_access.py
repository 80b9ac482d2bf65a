from pathlib import Path

import pytest

from slipway.errors import InvalidInput, NotFound
from slipway.kafka_access import KafkaAccess, client_options, is_loopback, parse, unparse


def test_a_setting_is_read_as_it_was_written() -> None:
    access = KafkaAccess(servers="h1:9092,h2:9092", user="a b@c", password_file="/x y/p&q", ca_file="/ca.pem")
    assert parse(unparse(access)) == access
    assert access.is_secured


def test_a_broker_on_loopback_needs_no_credentials() -> None:
    for servers in ("127.0.0.1:19092", "localhost:1,[::1]:2"):
        assert client_options(servers) == {"bootstrap_servers": servers}


@pytest.mark.parametrize("servers", ["kafka.example:9092", "127.0.0.1:1,10.0.0.7:9092", "0.0.0.0:9092"])
def test_nothing_is_sent_to_another_machine_in_the_clear(servers: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not this machine.*sasl\+ssl://USER@HOST:PORT"):
        client_options(servers)


@pytest.mark.parametrize(
    "bootstrap",
    [
        "sasl+plaintext://u@127.0.0.1:1",
        "plaintext://127.0.0.1:1",
        "sasl+ssl://127.0.0.1:1",
        "sasl+ssl://u@",
        "sasl+ssl://u@h:1?password=secret",
    ],
)
def test_a_setting_that_would_be_weaker_is_refused(bootstrap: str) -> None:
    with pytest.raises(InvalidInput, match="is not of the form"):
        parse(bootstrap)


def test_a_client_gets_everything_from_the_one_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_SECRET_KAFKA_PASSWORD", "s3")
    options = client_options("sasl+ssl://gateway@h:1")
    context = options.pop("ssl_context")
    assert context.check_hostname
    assert options == {
        "bootstrap_servers": "h:1",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "gateway",
        "sasl_plain_password": "s3",
    }


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"kafka_u\.password: No such file"):
        client_options(f"sasl+ssl://u@h:1?password_file={tmp_path}/kafka_u.password")
    (tmp_path / "p").write_text("x")
    with pytest.raises(InvalidInput, match=r"authority of Kafka's certificate, .*none\.pem"):
        client_options(f"sasl+ssl://u@h:1?password_file={tmp_path}/p&ca_file={tmp_path}/none.pem")


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.2", True), ("::1", True), ("localhost", True), ("localhost.example", False), ("", False)],
)
def test_loopback_is_this_machine_alone(host: str, wanted: bool) -> None:
    assert is_loopback(host) is wanted
