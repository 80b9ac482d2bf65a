"""Keys, tokens and passwords of the local stack: made once, readable by the owner alone."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from slipway.errors import NotFound
from slipway.models.signing import PRIVATE_FILE, PUBLIC_FILE, Signer

OPERATOR_TOKEN: Final = "operator.token"
FEEDBACK_TOKEN_KEY: Final = "feedback_token.key"
API_KEYS_PEPPER: Final = "api_keys.pepper"
RAY_TOKEN: Final = "ray.token"
REDIS_PASSWORD: Final = "redis.password"
CALLBACK_KEY: Final = "callback.key"
SHARED: Final = (
    OPERATOR_TOKEN,
    FEEDBACK_TOKEN_KEY,
    API_KEYS_PEPPER,
    RAY_TOKEN,
    REDIS_PASSWORD,
    CALLBACK_KEY,
    PRIVATE_FILE,
)
_SIZE_BYTES: Final = 32


def password_file(role: str) -> str:
    """The name of the secret that holds a database role's password."""
    return f"postgres_{role}.password"


def make_secrets(directory: Path, *, names: Iterable[str]) -> None:
    """Write each secret that does not exist yet: 32 random bytes in hex."""
    for name in names:
        path = directory / name
        if path.exists():
            continue
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_SIZE_BYTES))


def publish_signing_key(directory: Path) -> None:
    """Write the public part of the key that signs versions; keys that stand there stay trusted."""
    public = Signer(read_secret(directory, PRIVATE_FILE)).public
    path = directory / PUBLIC_FILE
    known = path.read_text() if path.exists() else ""
    if public not in known.split():
        path.write_text(f"{known}{public}\n")


def read_secret(directory: Path, name: str) -> str:
    """The text of one secret.

    Raises:
        NotFound: `slipway up` has not made it, or somebody deleted it.
    """
    path = directory / name
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NotFound(f"cannot read the secret {path}: {error.strerror}; run `slipway up`") from error
