"""A label in the one form in which labels are compared and published."""

import math
import re
from dataclasses import dataclass
from typing import Final

from services.feedback.domain.claim import Reason, Refusal

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRules:
    """What a model's spec says about labels; without classes a label is a number."""

    classes: tuple[str, ...]
    expire_after_s: float
    accept_is_label: bool


def canonical(text: str, rules: LabelRules) -> str | Refusal:
    """The label as the spec writes it.

    A class is found by its exact text, else by its number: "1.0" is the class "1", as data frames
    turn whole numbers into floats. A number becomes the shortest text that reads back as the same.
    """
    stripped = text.strip()
    if not rules.classes:
        number = _number(stripped)
        if number is None:
            return Refusal(reason=Reason.NOT_A_NUMBER, detail=f"label {text[:80]!r} is not a finite number")
        return repr(number)
    known = stripped if stripped in rules.classes else _class_of_number(stripped, rules.classes)
    if known is None:
        return Refusal(
            reason=Reason.UNKNOWN_CLASS,
            detail=f"label {text[:80]!r} is not among the classes {', '.join(rules.classes)[:500]}",
        )
    return known


def _class_of_number(text: str, classes: tuple[str, ...]) -> str | None:
    number = _number(text)
    equal = [c for c in classes if number is not None and _number(c) == number]
    return equal[0] if len(equal) == 1 else None


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text) + 0.0  # -0.0 becomes 0.0
    return number if math.isfinite(number) else None
