"""A client that speaks just enough HTTP/2 to behave badly (RFC 9113, RFC 7541)."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
_ACK: Final = 0x1
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Headers = tuple[tuple[str, str], ...]


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(headers: Headers) -> bytes:
    """Headers as literals that nobody is to remember (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in headers)


def text(words: str) -> bytes:
    """A literal of any length (RFC 7541, 5.1 and 5.2)."""
    raw = words.encode("latin-1")
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    size, rest = b"\x7f", len(raw) - 127
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return size + bytes([rest]) + raw


def headers_of(path: str, metadata: Headers) -> Headers:
    """What a call of a gRPC method begins with."""
    fixed = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "t"))
    return (*fixed, ("te", "trailers"), ("content-type", "application/grpc"), *metadata)


class Connection:
    """One connection; its streams are opened and not ended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.sendall(PREFACE + frame(SETTINGS))
        self._rest = b""

    def open_stream(self, stream: int, path: str, metadata: Headers) -> None:
        """Begin a gRPC call and leave it open."""
        self.send_headers(stream, headers_of(path, metadata))

    def send_headers(self, stream: int, headers: Headers) -> None:
        """Headers as they are given, in this order."""
        self.socket.sendall(frame(HEADERS, block(headers), flags=END_HEADERS, stream=stream))

    def end_stream(self, stream: int, data: bytes) -> None:
        """The last piece of a stream."""
        self.socket.sendall(frame(DATA, data, flags=END_STREAM, stream=stream))

    def pour(self, data: bytes, times: int) -> None:
        """The same bytes again and again, until they are sent or the server takes no more."""
        self.socket.settimeout(2)
        piece = data * max(1, 16384 // len(data))
        try:
            for _ in range(times * len(data) // len(piece) + 1):
                self.socket.sendall(piece)
        except OSError:
            return

    def frame_kinds(self, *, within_s: float) -> list[int]:
        """The kinds of the frames that come until a stream or the connection ends."""
        kinds: list[int] = []
        with suppress(OSError, AssertionError):
            for kind, flags, _ in self._frames(time.monotonic() + within_s):
                kinds.append(kind)
                if kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
                    break
        return kinds

    def send_data(self, stream: int, data: bytes) -> None:
        """A piece of a stream."""
        self.socket.sendall(frame(DATA, data, stream=stream))

    def seconds_until_closed(self, *, answers_pings: bool, within_s: float) -> float:
        """How long the server keeps the connection."""
        start_s = time.monotonic()
        for kind, flags, payload in self._frames(start_s + within_s):
            if answers_pings and kind == PING and not flags & _ACK:
                self.socket.sendall(frame(PING, payload, flags=_ACK))
        return time.monotonic() - start_s

    def _frames(self, end_s: float) -> Iterator[tuple[int, int, bytes]]:
        while True:
            while len(self._rest) >= 9:
                size = int.from_bytes(self._rest[:3], "big")
                if len(self._rest) < 9 + size:
                    break
                whole, self._rest = self._rest[: 9 + size], self._rest[9 + size :]
                yield whole[3], whole[4], whole[9:]
            assert time.monotonic() < end_s, "the server keeps the connection"
            self.socket.settimeout(max(0.1, end_s - time.monotonic()))
            try:
                received = self.socket.recv(65536)
            except (ConnectionError, TimeoutError):
                received = b""
            if not received:
                assert time.monotonic() < end_s, "the server keeps the connection"
                return
            self._rest += received


@contextmanager
def connection(target: str) -> Iterator[Connection]:
    """A connection that is closed at the end."""
    it = Connection(target)
    try:
        yield it
    finally:
        it.socket.close()
