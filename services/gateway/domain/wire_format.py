"""Protocol Buffers by hand, for the hot path: constant parts are serialized once, a request adds its own.

Serialized messages that follow each other are one message: singular messages are merged, repeated fields
appended. Source: Protocol Buffers Documentation, Encoding, "Last One Wins".
"""

from functools import lru_cache
from typing import Final

_LEN: Final = 2  # the wire type of strings, bytes and messages
_SHORT: Final = tuple(bytes([n]) for n in range(0x80))


def varint(number: int) -> bytes:
    """A whole number >= 0, seven bits a byte, the lowest first."""
    if number < 0x80:
        return _SHORT[number]
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@lru_cache(maxsize=256)
def tag(field_number: int) -> bytes:
    """What stands before the length of a string, bytes or message."""
    return varint(field_number << 3 | _LEN)


def field(field_number: int, content: bytes) -> bytes:
    """One string, bytes or message field."""
    return tag(field_number) + varint(len(content)) + content
