"""HTTP/1.1 with bounds: what a sender may make this process hold, and for how long.

uvicorn bounds neither the head of a request nor the time that a head, a body or a reader takes; and it lets
an application work on for a client that has left.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEADERS: Final = 100
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_IGNORED_BYTES: Final = 16 * 1024 * 1024  # of a body that came after its answer
RECEIVE_S: Final = 20.0
_LINGER_S: Final = 1.0
EXTENSION: Final = "slipway.caller"


class Caller(Protocol):
    """What an application finds in `scope["extensions"]`: the connection, as far as it concerns it."""

    answering: "asyncio.Task[Any] | None"
    is_gone: bool
    certificate: bytes  # the client's as TLS verified it, in DER; empty where there is none


def certificate_of(transport: asyncio.BaseTransport) -> bytes:
    """The certificate that a client proved to hold; what TLS was not told to verify proves nothing."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None or tls.context.verify_mode is ssl.CERT_NONE:
        return b""
    return tls.getpeercert(binary_form=True) or b""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; too large a head is refused, and who is too slow is let go.

    A task that an application names as `answering` is cancelled when its caller leaves.
    """

    receive_s = RECEIVE_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answering: asyncio.Task[Any] | None = None
        self.is_gone = False
        self.certificate = b""
        self._status = 400
        self._why = ""
        self._is_in_head = False
        self._is_refused = False
        self._head_bytes = 0
        self._ignored_bytes = 0
        self._awaited_since_s: float | None = None  # None: nothing is owed by the other side
        self._unsent_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the watch."""
        super().connection_made(transport)
        self.certificate = certificate_of(transport)
        self._awaited_since_s = self.loop.time()
        self._watch(self.receive_s / 2, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the watch, and what was done for the one who left."""
        self.is_gone = True
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        if self.answering is not None:
            self.answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse; a head counts as long as it has not ended.

        As uvicorn does it, but without a line in the log for whatever somebody sends.
        """
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as the plain request it also is
        except httptools.HttpParserError:
            self._refuse(self._status, self._why or "this is not a request in HTTP/1.1")
        if self._is_in_head and not self._is_refused:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request is larger than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        self._is_in_head = True
        self._head_bytes = self._ignored_bytes = 0
        self._awaited_since_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._is_in_head = False
        if len(self.headers) > MAX_HEADERS:
            self._status, self._why = 431, f"{len(self.headers)} headers; at most {MAX_HEADERS}"
            raise ValueError(self._why)  # ends the parser's work, too
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body. Who was answered before its end may send the rest, to a bound."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._ignored_bytes += len(body)
            if self._ignored_bytes > MAX_IGNORED_BYTES:
                self.transport.close()

    def on_message_complete(self) -> None:
        """The request is here."""
        self._awaited_since_s = None
        super().on_message_complete()

    def say_goodbye(self) -> None:
        """Let the request that is being answered be the last on this connection."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def _watch(self, delay_s: float, look: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(delay_s, look)

    def _refuse(self, status: int, why: str) -> None:
        body = orjson.dumps({"error": why})
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(
            body
        )
        self.transport.write(STATUS_LINE[status] + head + body)
        self._is_refused = True
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # To close while bytes come in would reset the connection, and the answer could be lost.
        self.transport.write_eof()
        self._watch(_LINGER_S, self.transport.abort)

    def _look(self) -> None:
        """Twice within the time allowed: who owes us bytes, and who does not take ours."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and unsent_bytes == self._unsent_bytes:
            self.transport.abort()
            return
        self._unsent_bytes = unsent_bytes
        if self.flow.read_paused:
            self._awaited_since_s = self.loop.time()  # it is we who do not take it
        elif self._is_late() and not self.transport.is_closing():
            self._let_go()
            return
        self._watch(self.receive_s / 2, self._look)

    def _is_late(self) -> bool:
        since_s = self._awaited_since_s
        return since_s is not None and self.loop.time() - since_s >= self.receive_s

    def _let_go(self) -> None:
        """A request, or the rest of one, did not come."""
        is_in_body = self.cycle is not None and not self.cycle.response_started
        if self._is_in_head or is_in_body:
            self._refuse(408, f"the request did not arrive within {self.receive_s:g} s")
        else:
            self.transport.close()
