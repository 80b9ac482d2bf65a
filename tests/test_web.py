"""A real server on a real socket, and how it takes leave of its clients."""

import asyncio
from typing import Any

import pytest

from slipway import web
from slipway.errors import Unavailable
from slipway.listening import open_listener
from tests.service_process import free_port

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class App:
    """Answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.asked.set()
        await self.may_answer.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


async def answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"ok"), 20)


async def test_a_client_in_use_is_told_that_its_connection_ends() -> None:
    app, port = App(), free_port()
    app.may_answer.set()
    async with web.serving(app, host="127.0.0.1", port=port) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert b"connection: close" not in await answer(reader)
        server.close_listener()
        server.say_goodbye()
        assert server.connections == 1
        writer.write(REQUEST)
        assert b"connection: close" in await answer(reader)
        assert await reader.read() == b""
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)
        writer.close()


async def test_a_client_who_waits_for_its_answer_is_told_with_it() -> None:
    app, port = App(), free_port()
    async with web.serving(app, host="127.0.0.1", port=port) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await app.asked.wait()
        server.say_goodbye()
        app.may_answer.set()
        assert b"connection: close" in await answer(reader)
        assert await reader.read() == b""
        writer.close()


async def test_goodbye_is_still_said_when_the_date_has_changed() -> None:
    """uvicorn makes the headers of all answers anew each second."""
    app, port = App(), free_port()
    app.may_answer.set()
    async with web.serving(app, host="127.0.0.1", port=port) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        server.say_goodbye()
        await server._server.on_tick(0)
        writer.write(REQUEST)
        assert (await answer(reader)).count(b"connection: close") == 1
        writer.close()


async def test_a_taken_port_is_named() -> None:
    port = free_port()
    with open_listener("127.0.0.1", port, is_shared=True), pytest.raises(Unavailable, match=str(port)):
        async with web.serving(App(), host="127.0.0.1", port=port):
            pass
