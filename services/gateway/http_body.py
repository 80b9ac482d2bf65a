"""The body of an HTTP request, bounded before it is believed."""

import zlib
from collections.abc import Mapping
from typing import Any, Final

from slipway.errors import InvalidInput, SlipwayError
from slipway.rpc import MAX_MESSAGE_BYTES
from slipway.web import Receive, TooLarge, UnsupportedEncoding

# Bits of the window, and the container that zlib shall expect.
_WINDOW_BITS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class CallerGone(SlipwayError):
    """Whoever asked closed the connection before the request was here."""


async def read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The whole body, decompressed. How long it may take is watched by `slipway.http_protocol`.

    Raises:
        TooLarge: By its Content-Length, or as it comes, or as it grows while it is decompressed.
        UnsupportedEncoding: Compressed in a way that is not known here.
        InvalidInput: Not what Content-Encoding says.
        CallerGone: It ended too early.
    """
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding != b"identity" and encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding(f"content-encoding {_shown(encoding)}: send gzip, deflate, or neither")
    _check_size(int(headers.get(b"content-length", b"0")))
    message = await receive()
    body = _part(message)
    if message.get("more_body"):
        body = await _gather(body, receive)
    return body if encoding == b"identity" else _inflate(body, encoding)


async def _gather(first: bytes, receive: Receive) -> bytes:
    parts, size = [first], len(first)
    more_body = True
    while more_body:
        message = await receive()
        part = _part(message)
        size += len(part)
        _check_size(size)
        parts.append(part)
        more_body = message.get("more_body", False)
    return b"".join(parts)


def _part(message: Mapping[str, Any]) -> bytes:
    if message["type"] != "http.request":
        raise CallerGone("the connection was closed before the request was here")
    part: bytes = message.get("body", b"")
    return part


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_MESSAGE_BYTES:
        raise TooLarge(f"the body is larger than {MAX_MESSAGE_BYTES} bytes: send less at once")


def _inflate(body: bytes, encoding: bytes) -> bytes:
    decompress = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = decompress.decompress(body, MAX_MESSAGE_BYTES + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not {_shown(encoding)}: {error}") from error
    _check_size(len(plain))
    if not decompress.eof or decompress.unused_data:
        raise InvalidInput(f"the body is not one whole {_shown(encoding)} stream")
    return plain


def _shown(value: bytes) -> str:
    return value[:40].decode("latin-1")
