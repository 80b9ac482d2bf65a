"""A real server on a real socket: uvicorn with the bounds of `slipway.http_protocol`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from slipway import http_protocol, web
from slipway.http_protocol import EXTENSION, MAX_HEAD_BYTES, MAX_HEADERS, BoundedProtocol, Caller
from tests.service_process import free_port

ANSWER = b"HTTP/1.1 200"


class App:
    """Reads what comes and says how much it was; `/wait` waits for ever, `/big` answers with much."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.seen: list[str] = []
        self.callers: list[Caller] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        caller = scope["extensions"][EXTENSION]
        self.callers.append(caller)
        caller.answering = asyncio.current_task()
        try:
            body = await self._answer(scope["path"], receive)
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            assert caller.is_gone
            return
        finally:
            self.ended.set()
        if body is None:
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str, receive: Any) -> bytes | None:
        self.began.set()
        if path == "/wait":
            await asyncio.get_running_loop().create_future()
        size, more_body = 0, path != "/early"
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.seen.append("left")
                return None
            size += len(message["body"])
            more_body = message["more_body"]
        return b"x" * 50_000_000 if path == "/big" else b"%d bytes" % size


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 20)

    async def answer(self) -> bytes:
        """One answer, as far as it has come."""
        return await asyncio.wait_for(self.reader.read(65536), 20)


Connect = Callable[[], Any]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def connect(app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    monkeypatch.setattr(BoundedProtocol, "receive_s", 0.4)
    port = free_port()
    clients: list[Client] = []

    async def connected() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    async with web.serving(app, host="127.0.0.1", port=port):
        yield connected
        for client in clients:
            client.writer.close()


def error_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), str(orjson.loads(body)["error"])


async def send_all(client: Client, data: bytes, *, times: int) -> None:
    for _ in range(times):
        await client.send(data)
        await asyncio.sleep(0)


async def test_requests_follow_each_other_on_a_connection(connect: Connect) -> None:
    client = await connect()
    for _ in range(3):
        await client.send(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")
        answer = await client.answer()
        assert answer.startswith(ANSWER)
        assert b"3 bytes" in answer
        assert b"server:" not in answer


async def test_a_wish_for_another_protocol_is_passed_over(connect: Connect) -> None:
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    assert (await client.answer()).startswith(ANSWER)


async def test_too_many_headers_are_refused(connect: Connect) -> None:
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n")
    assert error_of(await client.rest()) == (431, f"{MAX_HEADERS + 1} headers; at most {MAX_HEADERS}")


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000,
        b"GET / HTTP/1.1\r\na: " + b"b" * 10_000_000,
        b"GET /" + b"x" * 10_000_000,
    ],
)
async def test_a_head_without_end_is_cut_off(connect: Connect, flood: bytes) -> None:
    client = await connect()
    await client.send(flood[:200_000])
    assert error_of(await client.rest()) == (
        431,
        f"the head of the request is larger than {MAX_HEAD_BYTES} bytes",
    )


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(connect: Connect, nonsense: bytes) -> None:
    client = await connect()
    await client.send(nonsense)
    assert error_of(await client.rest())[0] == 400


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HT",
        b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc",
        b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n",
    ],
)
async def test_a_request_that_does_not_go_on_is_given_up(connect: Connect, begun: bytes) -> None:
    client = await connect()
    await client.send(begun)
    assert error_of(await client.rest()) == (408, "the request did not arrive within 0.4 s")


async def test_a_slow_second_request_is_given_up_like_a_first(connect: Connect) -> None:
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert (await client.answer()).startswith(ANSWER)
    await client.send(b"GET / HTTP")
    assert error_of(await client.rest())[0] == 408


async def test_a_body_that_trickles_is_given_up(app: App, connect: Connect) -> None:
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")

    async def trickle() -> None:
        while not client.reader.at_eof():
            client.writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.05)

    task = asyncio.create_task(trickle())
    answer = await client.rest()
    await task
    assert error_of(answer)[0] == 408
    assert app.seen == ["left"]


async def test_a_connection_that_says_nothing_is_closed(connect: Connect) -> None:
    client = await connect()
    assert await client.rest() == b""


async def test_an_idle_connection_stays_usable(connect: Connect) -> None:
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert (await client.answer()).startswith(ANSWER)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.reader.read(1), 1.5)
    await client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert (await client.answer()).startswith(ANSWER)


async def test_a_caller_that_leaves_ends_what_is_done_for_him(app: App, connect: Connect) -> None:
    client = await connect()
    await client.send(b"GET /wait HTTP/1.1\r\n\r\n")
    await app.began.wait()
    client.writer.transport.abort()
    await asyncio.wait_for(app.ended.wait(), 10)
    assert app.seen == ["cancelled"]


async def test_a_reset_in_the_middle_of_a_body_harms_nobody(app: App, connect: Connect) -> None:
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc")
    await app.began.wait()
    client.writer.transport.abort()
    await asyncio.wait_for(app.ended.wait(), 10)
    other = await connect()
    await other.send(b"GET / HTTP/1.1\r\n\r\n")
    assert (await other.answer()).startswith(ANSWER)


async def test_who_was_answered_early_may_send_his_rest_and_no_more(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "MAX_IGNORED_BYTES", 100_000)
    client = await connect()
    head = b"POST /early HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n"
    await client.send(head + b"x" * 50_000)
    assert (await client.answer()).startswith(ANSWER)
    with pytest.raises(OSError, match=r"reset|lost|pipe"):
        await send_all(client, b"x" * 10_000, times=10_000)


async def test_one_that_does_not_read_is_let_go(app: App, connect: Connect) -> None:
    client = await connect()
    client.reader._limit = 1  # the client's own buffer takes no more
    await client.send(b"GET /big HTTP/1.1\r\n\r\n")
    await app.began.wait()
    async with asyncio.timeout(20):
        while not app.callers[0].is_gone:
            await asyncio.sleep(0.05)


async def test_what_is_mounted_answers_for_its_own_paths() -> None:
    async def named(name: str, _scope: Any, _receive: Any, send: Any) -> None:
        await send(name)

    def app(name: str) -> web.Asgi:
        return lambda scope, receive, send: named(name, scope, receive, send)

    front = web.Front(app("rest"))
    front.mount("v2", app("fast"))
    seen: list[str] = []

    async def send(message: Any) -> None:
        seen.append(message)

    async def receive() -> Any: ...

    for path in ("/v2", "/v2/models", "/v20", "/", "", "*", "/healthz"):
        await front({"path": path}, receive, send)
    assert seen == ["fast", "fast", "rest", "rest", "rest", "rest", "rest"]
