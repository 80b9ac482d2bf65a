"""A client that speaks just enough HTTP/2 to behave badly (RFC 9113, RFC 7541)."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
SETTINGS: Final = 0x4
PING: Final = 0x6
GOAWAY: Final = 0x7
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    raw = text.encode()
    assert len(raw) < 127, "longer texts have another form"
    return bytes([len(raw)]) + raw


class Connection:
    """One connection; its streams are opened and not ended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.sendall(_PREFACE + _frame(SETTINGS))
        self._rest = b""

    def open_stream(self, stream: int, path: str, metadata: tuple[tuple[str, str], ...]) -> None:
        """Begin a gRPC call and leave it open."""
        fixed = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "t"))
        grpc_own = (("te", "trailers"), ("content-type", "application/grpc"))
        block = b"".join(b"\x00" + _text(k) + _text(v) for k, v in (*fixed, *grpc_own, *metadata))
        self.socket.sendall(_frame(HEADERS, block, flags=_END_HEADERS, stream=stream))

    def send_data(self, stream: int, data: bytes) -> None:
        """A piece of a stream."""
        self.socket.sendall(_frame(DATA, data, stream=stream))

    def seconds_until_closed(self, *, answers_pings: bool, within_s: float) -> float:
        """How long the server keeps the connection."""
        start_s = time.monotonic()
        for kind, flags, payload in self._frames(start_s + within_s):
            if answers_pings and kind == PING and not flags & _ACK:
                self.socket.sendall(_frame(PING, payload, flags=_ACK))
        return time.monotonic() - start_s

    def _frames(self, end_s: float) -> Iterator[tuple[int, int, bytes]]:
        while True:
            while len(self._rest) >= 9:
                size = int.from_bytes(self._rest[:3], "big")
                if len(self._rest) < 9 + size:
                    break
                frame, self._rest = self._rest[: 9 + size], self._rest[9 + size :]
                yield frame[3], frame[4], frame[9:]
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
