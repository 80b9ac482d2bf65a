"""A receiver of callbacks that can be told to fail."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LONGEST_HOLD_S = 60.0


@dataclass(kw_only=True)
class Receiver:
    """Takes callbacks, and answers with the statuses it was given, then with 200.

    What comes to a path in `held` is answered only when its event is set.
    """

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/"

    def of(self, path: str) -> list[tuple[str, dict[str, str], bytes]]:
        return [entry for entry in self.got if entry[0] == path]


@contextmanager
def receiver() -> Iterator[Receiver]:
    it = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            it.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if self.path in it.held:
                it.held[self.path].wait(_LONGEST_HOLD_S)
            status = it.statuses.pop(0) if it.statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"http://127.0.0.1:{it.port}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def verify(secret: str, headers: dict[str, str], body: bytes) -> Any:
    """What a receiver does, after Standard Webhooks; returns what the body says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    return json.loads(body)
