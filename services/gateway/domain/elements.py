"""BYTES tensors in raw form: each element behind its length, a little-endian uint32."""

import struct
from collections.abc import Iterable
from typing import Final

_LENGTH: Final = struct.Struct("<I")


def element_ends(raw: bytes, count: int) -> list[int] | None:
    """Where each of `count` elements ends; None where the bytes do not hold exactly so many."""
    ends: list[int] = []
    at = 0
    for _ in range(count):
        if at + _LENGTH.size > len(raw):
            return None
        at += _LENGTH.size + _LENGTH.unpack_from(raw, at)[0]
        if at > len(raw):
            return None
        ends.append(at)
    return ends if at == len(raw) else None


def split(raw: bytes, ends: Iterable[int]) -> list[bytes]:
    """The elements themselves."""
    elements: list[bytes] = []
    start = 0
    for end in ends:
        elements.append(raw[start + _LENGTH.size : end])
        start = end
    return elements


def split_all(raw: bytes) -> list[bytes]:
    """The elements of bytes that are known to be whole."""
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        (length,) = _LENGTH.unpack_from(raw, at)
        found.append(raw[at + _LENGTH.size : at + _LENGTH.size + length])
        at += _LENGTH.size + length
    return found


def join(elements: Iterable[bytes]) -> bytes:
    """Elements back to raw form."""
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)
