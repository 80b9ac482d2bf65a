"""Combinations of settings that would be insecure end the start, with a word on what to set."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from slipway.errors import InvalidInput
from slipway.kafka_access import is_loopback, parse

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
    elif name.endswith("host"):
        if not is_loopback(value):
            yield (
                f"{variable}={value!r} would open ports that are not encrypted to other machines: "
                "set 127.0.0.1, and let a proxy that speaks TLS stand in front"
            )
    elif name.endswith("_target"):
        if not is_loopback(value.rpartition(":")[0].strip("[]")):
            yield f"{variable}={value!r} is on another machine, and calls there are not encrypted"
    elif name.endswith("_dsn"):
        if not _stays_here(value) and "sslmode=verify-full" not in value:
            yield f"{variable} names a database on another machine: add sslmode=verify-full to it"
    elif name.endswith("_url") and urlsplit(value).scheme not in _ENCRYPTED and not _stays_here(value):
        yield f"{variable} names another machine in the clear: use https:// or rediss://"


def _kafka(bootstrap: str) -> Iterator[str]:
    try:
        parse(bootstrap)
    except InvalidInput as error:
        yield str(error)


def _stays_here(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
