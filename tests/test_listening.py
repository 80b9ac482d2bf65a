"""Two processes on one port, and real connections."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from slipway.listening import count_connections, leave, open_listener
from tests.service_process import free_port

OTHER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=True, backlog=2048)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"other")
    connection.close()
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def other(port: int) -> Iterator[None]:
    """A process that listens, too."""
    process = subprocess.Popen([sys.executable, "-c", OTHER, str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield
    process.kill()
    process.communicate()


def test_only_a_shared_port_can_be_opened_twice(port: int) -> None:
    with (
        open_listener("127.0.0.1", port, is_shared=True),
        open_listener("127.0.0.1", port, is_shared=True),
        pytest.raises(OSError, match="in use"),
    ):
        open_listener("127.0.0.1", port, is_shared=False)


async def test_what_is_written_is_sent_at_once(port: int) -> None:
    accepted: list[Any] = []
    listener = open_listener("127.0.0.1", port, is_shared=False)
    async with await asyncio.start_server(lambda _reader, writer: accepted.append(writer), sock=listener):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        while not accepted:
            await asyncio.sleep(0)
        server_side = accepted[0].get_extra_info("socket")
        assert server_side.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for it in (writer, accepted[0]):
            it.close()
            await it.wait_closed()


async def serve(port: int) -> asyncio.Server:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this")
        writer.close()

    listener = open_listener("127.0.0.1", port, is_shared=True)
    return await asyncio.start_server(answer, sock=listener)


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_who_leaves_a_shared_port_resets_no_connection(port: int, other: None) -> None:
    server = await serve(port)
    seen: set[bytes] = set()
    while len(seen) < 2:
        seen.add(await ask(port))
    leaving = asyncio.ensure_future(leave({port}, before_close=server.close))
    answers: list[bytes] = []
    while not leaving.done():
        answers += await asyncio.gather(*(ask(port) for _ in range(20)))
    assert set(answers) <= {b"this", b"other"}
    assert {await ask(port) for _ in range(20)} == {b"other"}


async def test_a_listener_of_others_in_this_process_is_found_too(port: int) -> None:
    """As gRPC's are, which only it can close."""
    with open_listener("127.0.0.1", port, is_shared=True) as listener:
        await leave({port}, before_close=lambda: None)
        with pytest.raises(OSError, match="Invalid argument"):
            listener.accept()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


async def test_connections_to_a_port_are_counted(port: int) -> None:
    with open_listener("127.0.0.1", port, is_shared=True) as listener:
        assert await count_connections({port}) == 0
        with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
            assert await count_connections({port}) == 1
