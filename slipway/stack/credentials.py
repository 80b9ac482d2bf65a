"""Keys, tokens and passwords of the local stack: made once, readable by the owner alone."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from slipway.models.signing import PRIVATE_FILE, PUBLIC_FILE, Signer
from slipway.secret_text import secret_text
from slipway.stack.new_file import replace_file, write_once

OPERATOR_TOKEN: Final = "operator.token"
FEEDBACK_TOKEN_KEY: Final = "feedback_token.key"
API_KEYS_PEPPER: Final = "api_keys.pepper"
RAY_TOKEN: Final = "ray.token"
REDIS_PASSWORD: Final = "redis.password"
REDIS_GATEWAY_PASSWORD: Final = "redis_gateway.password"
CALLBACK_KEY: Final = "callback.key"
MLFLOW_PASSWORD: Final = "mlflow.password"
OPERATOR: Final = "operator"
"""Whoever runs the stack's commands: Kafka's administrator, and the certificate of the command line."""
BROKER: Final = "kafka"
SHARED: Final = (
    OPERATOR_TOKEN,
    FEEDBACK_TOKEN_KEY,
    API_KEYS_PEPPER,
    RAY_TOKEN,
    REDIS_PASSWORD,
    REDIS_GATEWAY_PASSWORD,
    CALLBACK_KEY,
    MLFLOW_PASSWORD,
    PRIVATE_FILE,
)
_SIZE_BYTES: Final = 32


def password_file(role: str) -> str:
    """The name of the secret that holds a database role's password."""
    return f"postgres_{role}.password"


def kafka_password_file(user: str) -> str:
    """The name of the secret that holds a Kafka user's password."""
    return f"kafka_{user}.password"


def make_secrets(directory: Path, *, names: Iterable[str]) -> list[str]:
    """Write each secret that does not exist yet: 32 random bytes in hex; the names of the new ones."""
    return [name for name in names if write_once(directory / name, _new_secret)]


def publish_signing_key(directory: Path) -> None:
    """Write the public part of the key that signs versions; keys that stand there stay trusted."""
    public = Signer(read_secret(directory, PRIVATE_FILE)).public
    path = directory / PUBLIC_FILE
    known = path.read_text() if path.exists() else ""
    if public not in known.split():
        replace_file(path, f"{known}{public}\n".encode(), mode=0o600)


def read_secret(directory: Path, name: str) -> str:
    """The text of one secret.

    Raises:
        NotFound: `slipway init` has not made it, or somebody deleted it.
    """
    return secret_text(directory / name)


def _new_secret() -> bytes:
    return secrets.token_hex(_SIZE_BYTES).encode()
