"""Combinations of settings that would be insecure end the start, with a word on what to set."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from slipway.errors import InvalidInput
from slipway.kafka_access import is_loopback, parse
from slipway.tls import parse_target

_ENCRYPTED: Final = frozenset({"https", "rediss", "unix"})
_SHORTEST_SECRET: Final = 32
# Fewer different characters are no random text: `changemechangeme...`, `0000...`.
_FEWEST_CHARACTERS: Final = 8


def refuse_insecure(settings: Mapping[str, Any]) -> None:
    """Nothing of ours listens beside loopback in the clear, and nothing is sent to another machine so.

    Args:
        settings: Values by the names of a settings class; what a name ends with says what it is.
    Raises:
        InvalidInput: Names every setting that would, and what to set; never a value that may hold a password.
    """
    problems = [problem for name, value in settings.items() if value for problem in _problems(name, value)]
    problems += _hosts(settings)
    if bool(settings.get("mesh_cert")) != bool(settings.get("mesh_ca")):
        problems.append("SLIPWAY_MESH_CERT and SLIPWAY_MESH_CA go together: set both, or none")
    if not settings.get("tls_cert") and (settings.get("tls_key") or settings.get("tls_client_ca")):
        problems.append("SLIPWAY_TLS_KEY and SLIPWAY_TLS_CLIENT_CA do nothing without SLIPWAY_TLS_CERT")
    if problems:
        raise InvalidInput("; ".join(problems))


def refuse_weak(secret: str, *, place: object) -> None:
    """A secret is long and random.

    Raises:
        InvalidInput: It is short, or looks like a default.
    """
    if len(secret) < _SHORTEST_SECRET or len(set(secret)) < _FEWEST_CHARACTERS:
        raise InvalidInput(
            f"the secret {place} has {len(secret)} characters, {len(set(secret))} different ones; "
            f"at least {_SHORTEST_SECRET} random ones are asked for: delete it and run `slipway init`"
        )


def _problems(name: str, value: Any) -> Iterator[str]:
    variable = f"SLIPWAY_{name.upper()}"
    if name == "kafka_bootstrap":
        yield from _kafka(value)
    elif name.endswith("_target"):
        yield from _target(variable, value)
    elif name.endswith("_dsn"):
        if not _stays_here(value) and "sslmode=verify-full" not in value:
            yield f"{variable} names a database on another machine: add sslmode=verify-full to it"
    elif name.endswith("_url") and urlsplit(value).scheme not in _ENCRYPTED and not _stays_here(value):
        yield f"{variable} names another machine in the clear: use https:// or rediss://"


def _hosts(settings: Mapping[str, Any]) -> Iterator[str]:
    """Only the gateway's public ports may be open to other machines, and only with TLS."""
    for name, value in settings.items():
        if not name.endswith("host") or is_loopback(value):
            continue
        variable = f"SLIPWAY_{name.upper()}"
        if name == "host" and "tls_cert" in settings:
            if not settings["tls_cert"]:
                yield (
                    f"{variable}={value!r} opens the public ports to other machines in the clear: "
                    "set SLIPWAY_TLS_CERT, or 127.0.0.1 and a proxy that speaks TLS in front"
                )
        else:
            yield f"{variable}={value!r} would open an operator's port to other machines: set 127.0.0.1"


def _target(variable: str, value: str) -> Iterator[str]:
    try:
        target = parse_target(value)
    except InvalidInput as error:
        yield f"{variable}: {error}"
        return
    if not target.is_encrypted and not is_loopback(target.address.rpartition(":")[0].strip("[]")):
        yield f"{variable}={value!r} is on another machine: use tls://host:port?ca_file=PATH&cert_file=PATH"


def _kafka(bootstrap: str) -> Iterator[str]:
    try:
        parse(bootstrap)
    except InvalidInput as error:
        yield str(error)


def _stays_here(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
