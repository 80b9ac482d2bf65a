import pytest

from slipway.errors import InvalidInput
from slipway.secure_settings import refuse_insecure, refuse_weak

LOCAL = {
    "host": "127.0.0.1",
    "admin_host": "::1",
    "kafka_bootstrap": "127.0.0.1:19092",
    "jobs_target": "[::1]:18070",
    "inference_target": "localhost:18010",
    "postgres_dsn": "postgresql://gateway:p@127.0.0.1:1/slipway",
    "mlflow_url": "http://127.0.0.1:15000",
    "redis_url": "",
}
FAR = {
    "kafka_bootstrap": "sasl+ssl://gateway@kafka.example:9092",
    "jobs_target": "tls://jobs.example:18070?ca_file=/ca.pem&cert_file=/gateway.pem",
    "postgres_dsn": "postgresql://gateway:p@db.example:5432/slipway?sslmode=verify-full",
    "mlflow_url": "https://mlflow.example",
    "redis_url": "rediss://:p@cache.example:6379/0",
}


def test_what_stays_on_this_machine_or_is_encrypted_is_taken() -> None:
    refuse_insecure(LOCAL)
    refuse_insecure(LOCAL | FAR)
    refuse_insecure(LOCAL | {"redis_url": "unix:///run/redis.sock"})


def test_the_public_ports_may_be_open_with_tls_alone() -> None:
    refuse_insecure(LOCAL | {"host": "0.0.0.0", "tls_cert": "/c.pem"})
    with pytest.raises(InvalidInput, match=r"opens the public ports .* set SLIPWAY_TLS_CERT"):
        refuse_insecure(LOCAL | {"host": "0.0.0.0", "tls_cert": ""})
    with pytest.raises(InvalidInput, match="SLIPWAY_ADMIN_HOST"):
        refuse_insecure(LOCAL | {"admin_host": "0.0.0.0", "tls_cert": "/c.pem"})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("host", "0.0.0.0", r"SLIPWAY_HOST='0\.0\.0\.0' would open an operator's port.* set 127\.0\.0\.1"),
        ("host", "::", "SLIPWAY_HOST='::' would open"),
        ("admin_host", "gateway.example", "SLIPWAY_ADMIN_HOST='gateway.example' would open"),
        ("jobs_target", "https://jobs:1", "neither host:port nor tls://host:port"),
        ("mesh_cert", "/c.pem", "SLIPWAY_MESH_CERT and SLIPWAY_MESH_CA go together"),
        ("tls_client_ca", "/c.pem", "do nothing without SLIPWAY_TLS_CERT"),
        ("replica_host", "10.0.0.7", "SLIPWAY_REPLICA_HOST"),
        ("kafka_bootstrap", "kafka.example:9092", "kafka.example is not this machine.*give sasl"),
        ("jobs_target", "jobs.example:18070", "SLIPWAY_JOBS_TARGET='jobs.example:18070' is on another"),
        ("postgres_dsn", "postgresql://u:s3cr@db.example/x", "SLIPWAY_POSTGRES_DSN .*sslmode=verify-full"),
        ("postgres_dsn", "postgresql://u:s3cr@db.example/x?sslmode=require", "sslmode=verify-full"),
        ("mlflow_url", "http://mlflow.example", "SLIPWAY_MLFLOW_URL .*use https"),
        ("redis_url", "redis://:s3cr@cache.example:6379/0", "SLIPWAY_REDIS_URL .*rediss"),
    ],
)
def test_what_would_be_in_the_clear_is_refused_and_says_what_to_set(name: str, value: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as refused:
        refuse_insecure(LOCAL | {name: value})
    assert "s3cr" not in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"SLIPWAY_HOST=.*; SLIPWAY_ADMIN_HOST="):
        refuse_insecure(LOCAL | {"host": "0.0.0.0", "admin_host": "0.0.0.0"})


@pytest.mark.parametrize("secret", ["changeme", "0" * 64, "changeme" * 8, "a1" * 15])
def test_a_short_or_default_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(InvalidInput, match=r"at least 32 random ones.*`slipway init`") as refused:
        refuse_weak(secret, place="/s/operator.token")
    assert secret not in str(refused.value)


def test_a_random_secret_is_taken() -> None:
    refuse_weak("f3a1c09b7e5d42688b1e0a9d7c6f5e43", place="/s/operator.token")
