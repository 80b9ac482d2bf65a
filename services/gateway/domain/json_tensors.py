"""Tensor data as JSON has it to raw form: flat or nested lists, without a step in Python for each number."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any, Final

import numpy as np

from services.gateway.domain import elements
from slipway.errors import InvalidInput

_NUMBERS: Final = frozenset({int, float})
_NUMBERS_OR_MISSING: Final = _NUMBERS | {type(None)}
_TEXTS: Final = frozenset({str})
_LIST: Final = frozenset({list})


def to_raw(name: str, datatype: str, *, shape: Sequence[int], data: Any) -> bytes:
    """Elements in row-major order as the bytes that a binary request would hold.

    JSON has no NaN: null stands for a missing number. Datatypes that no model takes give no bytes, as the
    contract will refuse them by their name.

    Raises:
        InvalidInput: Ragged, of another size than the shape, or elements that are not of the datatype.
    """
    if type(data) is not list:
        raise InvalidInput(f"input {name[:60]!r}: data must be a list, flat or nested as the shape")
    flat = _flatten(name, data, shape=shape)
    kinds = set(map(type, flat))
    if datatype == "FP32":
        if not kinds <= _NUMBERS_OR_MISSING:
            raise InvalidInput(f"input {name[:60]!r}: FP32 data must be numbers, or null for a missing one")
        with np.errstate(over="ignore"):  # becomes infinite, which the contract names by feature and row
            return np.array(flat, dtype="<f4").tobytes()
    if datatype == "BYTES":
        if not kinds <= _TEXTS:
            raise InvalidInput(f"input {name[:60]!r}: BYTES data must be strings")
        return elements.join(map(str.encode, flat))
    return b""


def _flatten(name: str, data: list[Any], *, shape: Sequence[int]) -> list[Any]:
    """The elements of a list that is flat, or nested exactly as the shape says."""
    count = prod(shape)
    if len(data) == count and (len(shape) <= 1 or not data or type(data[0]) is not list):
        return data
    flat = data
    for depth in range(1, len(shape)):
        if len(flat) != prod(shape[:depth]) or set(map(type, flat)) != _LIST:
            break
        if set(map(len, flat)) != {shape[depth]}:
            break
        flat = list(chain.from_iterable(flat))
    if len(flat) != count or set(map(type, flat)) & _LIST:
        raise InvalidInput(
            f"input {name[:60]!r}: data does not fill shape {list(shape)[:8]}; "
            f"give {count} elements in one list, or lists nested as the shape says"
        )
    return flat
