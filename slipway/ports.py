"""Every port of the local stack: one file, overridable from the environment."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from slipway.errors import InvalidInput

DEFAULT_FILE: Final = Path(__file__).resolve().parents[1] / "deploy" / "local" / "ports.toml"
FILE_VARIABLE: Final = "SLIPWAY_PORTS_FILE"
OFFSET_VARIABLE: Final = "SLIPWAY_PORT_OFFSET"
OVERRIDE_PREFIX: Final = "SLIPWAY_PORT_"


def ports(environ: Mapping[str, str] | None = None) -> dict[str, int]:
    """The port of each part by name, e.g. `ports()["gateway_http"]`.

    Args:
        environ: Variables to read overrides from; the process's own when omitted.
    Raises:
        InvalidInput: The file or an override names an unknown port or is not a port number.
    """
    source = os.environ if environ is None else environ
    offset = int(_number(OFFSET_VARIABLE, source.get(OFFSET_VARIABLE, "0")))
    chosen = {name: port + offset for name, port in _read(DEFAULT_FILE).items()}
    if override_file := source.get(FILE_VARIABLE):
        chosen |= _known(_read(Path(override_file)), chosen, origin=override_file)
    chosen |= _known(_overrides(source), chosen, origin="the environment")
    for name, port in chosen.items():
        if not 1024 <= port <= 65535:
            raise InvalidInput(f"port {name}={port} is outside 1024..65535; see {DEFAULT_FILE}")
    return chosen


def _overrides(source: Mapping[str, str]) -> dict[str, int]:
    return {
        variable.removeprefix(OVERRIDE_PREFIX).lower(): _number(variable, text)
        for variable, text in source.items()
        if variable.startswith(OVERRIDE_PREFIX) and variable != OFFSET_VARIABLE
    }


def _read(path: Path) -> dict[str, int]:
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"cannot read the port table {path}: {error}") from error
    return {name: _number(f"{path}: {name}", str(value)) for name, value in table.items()}


def _number(origin: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InvalidInput(f"{origin}={text!r} is not a port number") from error


def _known(overrides: Mapping[str, int], known: Mapping[str, int], *, origin: str) -> Mapping[str, int]:
    if unknown := sorted(set(overrides) - set(known)):
        raise InvalidInput(f"{origin} sets unknown ports {unknown}; known are {sorted(known)}")
    return overrides
