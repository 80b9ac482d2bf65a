"""How fast rows are sent."""

import re
from dataclasses import dataclass

from slipway.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Faithful:
    """The stream waits while a training or a deployment runs: real records come half an hour apart."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The stream never waits."""

    rows_per_s: float


Pace = Faithful | Steady


def parse_pace(text: str) -> Pace:
    """Read `--pace`.

    Raises:
        InvalidInput: Neither `faithful` nor a positive number.
    """
    if text == "faithful":
        return Faithful()
    if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0:
        return Steady(float(text))
    raise InvalidInput(f"--pace {text!r}: expected `faithful` or rows per second, e.g. 500")
